"""From a checkpoint to a finished bundle: exported, compared, measured, and only then put in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from vision_ft.commands.console import say
from vision_ft.commands.engines import describe, show_engines
from vision_ft.commands.showing import material_of
from vision_ft.commands.summary import show_parts
from vision_ft.data.manifest import Manifest
from vision_ft.evaluate.measure import Measured, measure
from vision_ft.export.bundle import add_metrics, write_model
from vision_ft.export.staging import staged
from vision_ft.model.checkpoint import load_network
from vision_ft.model.network import Network
from vision_ft.model.translate import Translation
from vision_ft.runtime.engine import cores
from vision_ft.runtime.predictor import Predictor
from vision_ft.spec import ModelSpec
from vision_ft.train.exporting import Export
from vision_ft.train.looking import Cache, kept_features


@dataclass(frozen=True)
class HandedOver:
    """A bundle that was written.

    Attributes:
        bundle: its folder.
        measured: how it does on the held-out photos; ``None`` where there were none to measure on.
        spec: of the bundle.
        sizes: bytes of its files, by their names.
        refused: why formats that were asked for are not in it, by their names.
        network: what it was made of, in eval mode, on the CPU.
    """

    bundle: Path
    measured: Measured | None
    spec: ModelSpec
    sizes: dict[str, int]
    refused: dict[str, str]
    network: Network

    @property
    def gate(self) -> dict[str, object]:
        """What ``model.onnx`` was compared on."""
        return self.spec.gate


def hand_over(
    checkpoint: Path,
    out: Path,
    manifest: Manifest | None,
    photos: Sequence[Path] | None = None,
    translation: Translation | None = None,
    export: Export | None = None,
    cache: Cache | None = None,
) -> HandedOver:
    """Export a checkpoint into a bundle.

    Args:
        checkpoint: ours.
        out: the bundle's folder; an earlier bundle there stays until this one is complete.
        manifest: the photos of the run: temperature, thresholds and novelty are chosen on them, and the exported model
            is measured on them. Without them it has none of these.
        photos: to compare on; those that the checkpoint names if not given.
        translation: of the network that was trained, if there is one already.
        export: what is to be in the bundle.
        cache: of what the backbone, as it is, saw before.

    Raises:
        CheckpointError: the checkpoint is not ours.
        DataError: the photos to compare on are gone.
        ExportMismatch: the exported model disagrees with the checkpoint; nothing is written.
        BundleError: the bundle cannot be written.
    """
    wanted = Export() if export is None else export
    network, record = load_network(checkpoint)
    named = [Path(path) for path in record.data.get("golden", [])] if photos is None else photos
    kept = None if cache is None else partial(kept_features, network, cache)
    material = material_of(named, manifest, network.preprocessing.framing, kept)
    with staged(out) as folder:
        spec, refused = write_model(
            folder, network, record, material, translation, wanted.engines, wanted.unsure_error, wanted.thumbnails
        )
        measured = None if manifest is None else measure(Predictor.load(folder, lanes=cores()), manifest)
        if measured is not None:
            spec = add_metrics(folder, spec, {part: scores.as_record() for part, scores in measured.scores.items()})
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    return HandedOver(out, measured, spec, sizes, refused, network)


def show(handed: HandedOver, console: Console) -> None:
    """Print what a bundle is worth: its figures, the validation part first, and its engines."""
    for line in describe(handed.spec):
        say(console, line)
    show_engines(handed, console)
    if handed.measured is not None:
        show_parts({part: scores.as_record() for part, scores in handed.measured.scores.items()}, console)
