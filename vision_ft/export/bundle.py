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
from vision_ft.export.formats import Source, make_all
from vision_ft.export.gate import Gate
from vision_ft.export.golden import golden_file, thumbnails_file
from vision_ft.export.graph import Exported, core_of
from vision_ft.export.learned import learn
from vision_ft.export.part import Material
from vision_ft.export.staging import staged, write
from vision_ft.export.tail import finished
from vision_ft.model.checkpoint import Record
from vision_ft.model.network import Network
from vision_ft.model.translate import Translation
from vision_ft.runtime.bundle import open_bundle
from vision_ft.runtime.engine import OnnxRuntime
from vision_ft.runtime.selftest import SOURCE
from vision_ft.spec import (
    CARD_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    SPEC_FILE,
    THUMBNAILS_FILE,
    WEIGHTS_FILE,
    ModelSpec,
)

_PACKAGES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "pillow", "numpy")
_BACKBONE = "backbone."


def write_model(
    folder: Path,
    network: Network,
    record: Record,
    material: Material,
    translation: Translation | None = None,
    engines: Sequence[str] = (),
    unsure_error: float | None = None,
    thumbnails: int = 4,
) -> tuple[ModelSpec, dict[str, str]]:
    """Export a network, put the result through the gate, and write it with its spec.

    The graph and the weights are written only after the gate let the graph pass, and any other format only after the
    gate let that pass.

    Args:
        folder: where the files go.
        network: in eval mode, on the CPU.
        record: what the checkpoint says of the network.
        material: the photos that temperature, thresholds and the gate need.
        translation: of a network that is built alike, if there is one already.
        engines: formats to write beside ``model.onnx``, by the names of FORMATS.
        unsure_error: the share of errors that is aimed at among what is not *unsure*; see :func:`band`.
        thumbnails: golden photos that the bundle takes along to test itself with.

    Returns:
        The spec as written, without metrics yet; and why formats were not written, by their names.

    Raises:
        ExportMismatch: the graph disagrees with the network.
        OSError: the files cannot be written.
    """
    core = core_of(network, translation)
    learned = learn(core, material, unsure_error)
    exported = Exported(network, learned.temperature, learned.novelty).eval()
    graph = finished(core, learned.temperature, learned.bank, learned.scale)
    gate = Gate(exported, material.golden)
    passed = gate.compare(OnnxRuntime(graph).run)
    made, refused = make_all(engines, Source(gate, core, graph, learned, material))
    # Under timm's own names, so that the file is of use to timm as well.
    tensors = {name: tensor.contiguous() for name, tensor in network.backbone.state_dict().items()}
    content = {MODEL_FILE: graph, WEIGHTS_FILE: safetensors.torch.save(tensors)}
    content |= {one.file: one.content for one in made.values() if one.content is not None}
    answers = {name: one.answers for name, one in made.items() if one.answers is not None}
    shown = min(thumbnails, len(material.golden))
    content[GOLDEN_FILE] = golden_file(material.golden, material.digests, {SOURCE: passed.source, **answers}, shown)
    if shown:
        content[THUMBNAILS_FILE] = thumbnails_file(material.golden[:shown])
    spec = ModelSpec(
        classes=record.classes,
        preprocessing=network.preprocessing,
        backbone=record.backbone,
        weights=record.weights,
        temperature=learned.temperature,
        thresholds=learned.thresholds,
        calibration=learned.calibration,
        data=record.facts(),
        gate=passed.record,
        engines={"onnx": {"file": MODEL_FILE, **passed.record}, **{name: one.record for name, one in made.items()}},
        versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files={name: write(folder / name, data) for name, data in content.items()},
    )
    return _write_spec(folder, spec), refused


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
