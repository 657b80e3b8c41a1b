"""``vision-ft export``: a run or a checkpoint becomes a bundle."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.console import Console

from vision_ft.commands.handover import hand_over, show
from vision_ft.commands.parsing import parser_for
from vision_ft.data.listing import TEST, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.data.module import GOLDEN
from vision_ft.errors import CheckpointError, ExitCode, UsageError
from vision_ft.files import spread, walk_photos
from vision_ft.model.checkpoint import Record, read_checkpoint
from vision_ft.model.weights import sha256_of
from vision_ft.train.exporting import ENGINES, Export, export_faults
from vision_ft.train.run import RunFolder


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options = _parse(verb, args)
    export = _export(options)
    checkpoint, folder = _locate(options.source)
    record, _ = read_checkpoint(checkpoint)
    out = options.out or (folder.bundle if folder else checkpoint.with_suffix(".bundle"))
    console = Console()
    replaced = out.exists()
    photos = _photos(options.photos, options.root, record)
    root = options.root or Path(record.data.get("root", ""))
    handed = hand_over(checkpoint, out, _manifest(folder, root, record, Console(stderr=True)), photos, None, export)
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
    parser.add_argument(
        "--engines",
        default="onnx",
        metavar="NAME,…",
        help=f"formats of the bundle, of {', '.join(ENGINES)}; onnx is always there (default %(default)s)",
    )
    parser.add_argument(
        "--unsure-error",
        type=float,
        default=Export.unsure_error,
        metavar="SHARE",
        help="of errors, aimed at among what is not called unsure (default: half of validation's, 0.02 at least)",
    )
    parser.add_argument(
        "--thumbnails",
        type=int,
        default=Export.thumbnails,
        metavar="N",
        help="validation photos that the bundle takes along to test itself with (default %(default)s)",
    )
    return parser.parse_args(args)


def _export(options: argparse.Namespace) -> Export:
    """What is asked for.

    Raises:
        UsageError: there is no such engine, it is not installed, or a number cannot be.
    """
    engines = [name.strip() for name in options.engines.split(",") if name.strip()]
    if faults := export_faults(engines, options.unsure_error, options.thumbnails):
        raise UsageError("; ".join(f"--{fault.replace('unsure_error', 'unsure-error', 1)}" for fault in faults))
    return Export(engines, options.unsure_error, options.thumbnails)


def _locate(source: Path) -> tuple[Path, RunFolder | None]:
    """The checkpoint meant, and the run that it belongs to."""
    if source.is_dir():
        folder = RunFolder(source)
        if not folder.best.is_file():
            raise CheckpointError(f"{str(source)!r} is no run: it has no {folder.best.relative_to(source)}")
        return folder.best, folder
    around = RunFolder(source.resolve().parent.parent)
    return source, around if around.manifest.is_file() else None


def _manifest(folder: RunFolder | None, root: Path, record: Record, console: Console) -> Manifest | None:
    """The run's photos, if the held-out ones are all to be had: a model is not measured on some of them."""
    if folder is None or not folder.manifest.is_file():
        console.print("no figures: the run's manifest.csv is not beside the checkpoint", markup=False)
        return None
    manifest = Manifest.read(folder.manifest, root, record.classes)
    held_out = pl.concat([manifest.part(VAL), manifest.part(TEST)])
    changed = [
        path
        for path, expected in zip(manifest.paths(held_out), held_out["sha256"], strict=True)
        if not path.is_file() or sha256_of(path) != expected
    ]
    if changed or not held_out.height:
        console.print(
            f"no figures: {len(changed)} of the {held_out.height} held-out photos of the run are gone or changed below "
            f"{root}; if they were moved, name their folder with --root",
            markup=False,
            soft_wrap=True,
        )
        return None
    return manifest


def _photos(folder: Path | None, root: Path | None, record: Record) -> list[Path] | None:
    """What to compare on: photos of the user's choice, or the checkpoint's own where they lie now."""
    if folder is not None:
        return spread(list(walk_photos(_existing("--photos", folder))), GOLDEN)
    if root is None:
        return None
    before = Path(record.data.get("root", ""))
    return [_existing("--root", root) / Path(path).relative_to(before) for path in record.data.get("golden", [])]


def _existing(option: str, folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"{option}: no folder {str(folder)!r}")
    return folder
