"""From a checkpoint to a finished bundle: exported, compared, measured, and only then put in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from vision_ft.commands.summary import show_parts
from vision_ft.data.manifest import Manifest
from vision_ft.errors import DataError, UnreadablePhoto
from vision_ft.evaluate.measure import Measured, measure
from vision_ft.export.bundle import add_metrics, write_model
from vision_ft.export.staging import staged
from vision_ft.framing import Framing, Pixels
from vision_ft.imaging import read
from vision_ft.model.checkpoint import load_network
from vision_ft.model.network import Network
from vision_ft.model.translate import Translation
from vision_ft.runtime.predictor import Predictor

# An export is compared on at least so many photos, where the data has them.
_FEWEST = 32


@dataclass(frozen=True)
class HandedOver:
    """A bundle that was written.

    Attributes:
        bundle: its folder.
        measured: how it does on the held-out photos; ``None`` where there were none to measure on.
        gate: what it was compared on.
        network: what it was made of, in eval mode, on the CPU.
    """

    bundle: Path
    measured: Measured | None
    gate: dict[str, object]
    network: Network


def hand_over(
    checkpoint: Path,
    out: Path,
    manifest: Manifest | None,
    photos: Sequence[Path] | None = None,
    translation: Translation | None = None,
) -> HandedOver:
    """Export a checkpoint into a bundle.

    Args:
        checkpoint: ours.
        out: the bundle's folder; an earlier bundle there stays until this one is complete.
        manifest: the photos of the run, to measure the exported model on.
        photos: to compare on; those that the checkpoint names if not given.
        translation: of the network that was trained, if there is one already.

    Raises:
        CheckpointError: the checkpoint is not ours.
        DataError: the photos to compare on are gone.
        ExportMismatch: the exported model disagrees with the checkpoint; nothing is written.
        BundleError: the bundle cannot be written.
    """
    network, record = load_network(checkpoint)
    named = [Path(path) for path in record.data.get("golden", [])] if photos is None else photos
    golden = _read_golden(named, network.preprocessing.framing)
    with staged(out) as folder:
        spec = write_model(folder, network, record, golden, translation)
        measured = None if manifest is None else measure(Predictor.load(folder), manifest)
        if measured is not None:
            add_metrics(folder, spec, {part: scores.as_record() for part, scores in measured.scores.items()})
    return HandedOver(out, measured, spec.gate, network)


def _read_golden(paths: Sequence[Path], framing: Framing) -> list[Pixels]:
    pixels = []
    for path in paths:
        try:
            pixels.append(read(path, framing))
        except UnreadablePhoto:
            continue
    if not pixels or len(pixels) < min(_FEWEST, len(paths)):
        example = f", among them {str(paths[0])!r}" if paths else ""
        raise DataError(
            f"only {len(pixels)} of the {len(paths)} photos that the export is checked on can be read{example}; "
            "name a folder of photos with --photos"
        )
    return pixels


def show(handed: HandedOver, console: Console) -> None:
    """Print the figures of a bundle, the validation part first."""
    if handed.measured is not None:
        show_parts({part: scores.as_record() for part, scores in handed.measured.scores.items()}, console)
