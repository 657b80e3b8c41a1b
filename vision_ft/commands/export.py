"""``vision-ft export``: a run or a checkpoint becomes a bundle."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vision_ft.commands.handover import hand_over, show
from vision_ft.commands.parsing import parser_for
from vision_ft.data.layout import walk_photos
from vision_ft.data.manifest import Manifest
from vision_ft.errors import CheckpointError, ExitCode, UsageError
from vision_ft.model.checkpoint import Record, read_checkpoint
from vision_ft.train.run import RunFolder


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options = _parse(verb, args)
    checkpoint, folder = _locate(options.source)
    record, _ = read_checkpoint(checkpoint)
    out = options.out or (folder.bundle if folder else checkpoint.with_suffix(".bundle"))
    console = Console()
    replaced = out.exists()
    handed = hand_over(checkpoint, out, _manifest(folder, record, options.root), _photos(options.photos))
    show(handed, console)
    console.print(
        f"{'replaced' if replaced else 'wrote'} the bundle {out}; largest difference to the checkpoint on "
        f"{handed.gate['photos']} photos: {handed.gate['largest_difference']:.1e}",
        f"next: vision-ft predict {shlex.quote(str(out))} PHOTO…",
        sep="\n",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    return ExitCode.DONE


def _parse(verb: str, args: Sequence[str]) -> argparse.Namespace:
    parser = parser_for(verb, "Write the bundle of a run or a checkpoint: ONNX, weights, spec and model card.")
    parser.add_argument("source", metavar="RUN_OR_CKPT", type=Path, help="a run's folder, or a .ckpt of one")
    parser.add_argument("--out", type=Path, help="the bundle's folder; default: bundle/ in the run")
    parser.add_argument("--photos", type=Path, help="photos to compare on, where those of the run are gone")
    parser.add_argument("--root", type=Path, help="where the run's data lies now, if it was moved")
    return parser.parse_args(args)


def _locate(source: Path) -> tuple[Path, RunFolder | None]:
    """The checkpoint meant, and the run that it belongs to."""
    if source.is_dir():
        folder = RunFolder(source)
        if not folder.best.is_file():
            raise CheckpointError(f"{str(source)!r} is no run: it has no {folder.best.relative_to(source)}")
        return folder.best, folder
    around = RunFolder(source.resolve().parent.parent)
    return source, around if around.manifest.is_file() else None


def _manifest(folder: RunFolder | None, record: Record, root: Path | None) -> Manifest | None:
    """The run's photos, if they are all to be had: a model is not measured on some of them."""
    if folder is None or not folder.manifest.is_file():
        return None
    place = Path(record.data["root"]) if root is None else root
    manifest = Manifest.read(folder.manifest, place, record.classes)
    if root is not None and not root.is_dir():
        raise UsageError(f"--root: no folder {str(root)!r}")
    return manifest if all(path.is_file() for path in manifest.paths(manifest.table)) else None


def _photos(folder: Path | None) -> list[Path] | None:
    if folder is None:
        return None
    if not folder.is_dir():
        raise UsageError(f"--photos: no folder {str(folder)!r}")
    return sorted(walk_photos(folder))
