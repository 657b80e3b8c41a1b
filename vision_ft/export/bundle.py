"""From a network to the files of a bundle."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch

from vision_ft import __version__
from vision_ft.export.card import OTHERS, model_card
from vision_ft.export.gate import Pixels, compare
from vision_ft.export.graph import Exported, to_onnx
from vision_ft.export.staging import staged, write
from vision_ft.model.checkpoint import Record
from vision_ft.model.network import Network
from vision_ft.model.translate import Translation
from vision_ft.runtime.bundle import open_bundle
from vision_ft.runtime.engine import OnnxRuntime
from vision_ft.spec import CARD_FILE, MODEL_FILE, SPEC_FILE, WEIGHTS_FILE, ModelSpec

_PACKAGES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "pillow", "numpy")
_BACKBONE = "backbone."


def write_model(
    folder: Path,
    network: Network,
    record: Record,
    photos: Sequence[Pixels],
    translation: Translation | None = None,
) -> ModelSpec:
    """Export a network, put the result through the gate, and write it with its spec.

    The graph and the weights are written only after the gate let the graph pass.

    Args:
        folder: where the files go.
        network: in eval mode, on the CPU.
        record: what the checkpoint says of the network.
        photos: to compare on, each framed, uint8 (height, width, 3).
        translation: of a network that is built alike, if there is one already.

    Returns:
        The spec as written, without metrics yet.

    Raises:
        ExportMismatch: the graph disagrees with the network.
        OSError: the files cannot be written.
    """
    spec = ModelSpec(
        classes=record.classes,
        preprocessing=network.preprocessing,
        backbone=record.backbone,
        weights=record.weights,
        data=record.facts(),
        versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    exported = Exported(network, spec.temperature).eval()
    graph = to_onnx(exported, translation)
    gate = compare(exported, OnnxRuntime(graph).run, photos)
    # Under timm's own names, so that the file is of use to timm as well.
    tensors = {name: tensor.contiguous() for name, tensor in network.backbone.state_dict().items()}
    files = {
        MODEL_FILE: write(folder / MODEL_FILE, graph),
        WEIGHTS_FILE: write(folder / WEIGHTS_FILE, safetensors.torch.save(tensors)),
    }
    return _write_spec(folder, dataclasses.replace(spec, gate=gate, files=files))


def add_metrics(folder: Path, spec: ModelSpec, metrics: dict[str, object]) -> ModelSpec:
    """Write the figures that were measured on the exported model into its spec and its card."""
    return _write_spec(folder, dataclasses.replace(spec, metrics=metrics))


def add_others(bundle: Path, figures: Mapping[str, Any]) -> None:
    """Let a finished bundle say what it makes of pictures of none of its classes; there is always a whole one.

    Raises:
        BundleError: it is none, or cannot be written.
    """
    spec, _ = open_bundle(bundle)
    with staged(bundle) as folder:
        for name in spec.files:
            if name != CARD_FILE:
                shutil.copyfile(bundle / name, folder / name)
        add_metrics(folder, spec, {**spec.metrics, OTHERS: dict(figures)})


def _write_spec(folder: Path, spec: ModelSpec) -> ModelSpec:
    card = write(folder / CARD_FILE, model_card(spec).encode())
    complete = dataclasses.replace(spec, files={**spec.files, CARD_FILE: card})
    write(folder / SPEC_FILE, complete.to_json().encode())
    return complete


def _versions() -> dict[str, str]:
    versions = {"vision-ft": __version__, "python": platform.python_version()}
    return versions | {package: importlib.metadata.version(package) for package in _PACKAGES}
