"""``vision-ft report``: the page of a run, drawn from what the run saved; or two runs side by side."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from vision_ft.commands.console import say
from vision_ft.commands.parsing import parser_for
from vision_ft.commands.reporting import draw_report
from vision_ft.commands.summary import show_parts
from vision_ft.data.manifest import Manifest
from vision_ft.errors import DataError, ExitCode, UsageError
from vision_ft.evaluate.measure import predictions_of
from vision_ft.evaluate.saved import Saved
from vision_ft.files import walk_photos
from vision_ft.run_folder import RunFolder

_PHOTOS = 150


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options = _parse(verb, args)
    console = Console()
    folders = [RunFolder(path.expanduser()) for path in options.runs]
    if len(folders) == 2:
        from vision_ft.commands.comparing import compare_runs

        page, said = compare_runs(folders[0], folders[1], options.out)
        say(console, said)
        say(console, f"page: {page}")
        return ExitCode.DONE
    folder = folders[0]
    if options.others is not None:
        _ask_others(folder, options.others, console)
    if options.robustness:
        _try_robustness(folder, options, console)
    record = draw_report(folder)
    show_parts(record["parts"], console)
    say(console, record["verdict"])
    say(console, f"report: {folder.report}")
    return ExitCode.DONE


def _parse(verb: str, args: Sequence[str]) -> argparse.Namespace:
    parser = parser_for(
        verb,
        "Draw the report of a run again, from what it saved; no model is needed. With two runs, hold them against each "
        "other on the photos that both kept out of training.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="a run's folder, or two")
    parser.add_argument(
        "--others", type=Path, metavar="FOLDER", help="pictures of none of the classes, to see what is said of them"
    )
    parser.add_argument(
        "--robustness", action="store_true", help="try the exported model on photos made worse, in seven ways"
    )
    parser.add_argument("--photos", type=int, help=f"so many at most for that (default {_PHOTOS})")
    parser.add_argument("--root", type=Path, help="where the run's data lies now, if it was moved")
    parser.add_argument("--out", type=Path, help="of two runs, the page to write (default RUN/comparison.html)")
    options = parser.parse_args(args)
    faults = []
    if len(options.runs) > 2:
        faults.append(f"{len(options.runs)} runs, must be one or two")
    if len(options.runs) == 2 and (options.others or options.robustness or options.photos or options.root):
        faults.append("--others, --robustness, --photos and --root are for one run")
    if len(options.runs) == 1 and options.out is not None:
        faults.append("--out is for two runs; the page of one lies in its folder")
    if options.photos is not None and (options.photos < 1 or not options.robustness):
        faults.append("--photos is for --robustness, and must be 1 or more")
    if faults:
        raise UsageError("; ".join(faults))
    return options


def _ask_others(folder: RunFolder, pictures: Path, console: Console) -> None:
    """Let the model say what is on pictures of none of its classes, and tell of it in its card."""
    from vision_ft.evaluate.record import others_of
    from vision_ft.export.bundle import add_others
    from vision_ft.runtime.predictor import Predictor

    Saved.read(folder)
    pictures = pictures.expanduser()
    paths = list(walk_photos(pictures)) if pictures.is_dir() else []
    if not paths:
        raise UsageError(f"--others: no photos below {str(pictures)!r}")
    said = predictions_of(Predictor.load(folder.bundle), paths)
    names = pl.DataFrame({"path": [str(path.relative_to(pictures)) for path in paths]})
    table = pl.concat([names.with_columns(folder=pl.lit(pictures.resolve().name)), said], how="horizontal")
    table.write_csv(folder.others)
    found = others_of(Saved.read(folder))
    if found is None:
        raise DataError(f"--others: none of the {len(paths)} pictures below {str(pictures)!r} can be read")
    add_others(folder.bundle, found)
    say(console, f"asked about {len(paths)} other pictures; the model card says so too")


def _try_robustness(folder: RunFolder, options: argparse.Namespace, console: Console) -> None:
    from vision_ft.evaluate.robustness import try_robustness
    from vision_ft.runtime.predictor import Predictor

    Saved.read(folder)
    started = time.monotonic()
    predictor = Predictor.load(folder.bundle)
    manifest = Manifest.read(folder.manifest, _root(folder, options.root), predictor.spec.classes)
    found = try_robustness(predictor, manifest, _PHOTOS if options.photos is None else options.photos)
    found["seconds"] = time.monotonic() - started
    folder.robustness.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    say(console, f"tried {found['photos']} photos in {found['seconds']:.0f} s")


def _root(folder: RunFolder, given: Path | None) -> Path:
    """Where the photos of a run lie."""
    if given is not None:
        return given.expanduser()
    known: dict[str, Any] = json.loads(folder.history.read_text()) if folder.history.is_file() else {}
    if "root" not in known:
        raise UsageError(f"{shlex.quote(str(folder.path))} does not say where its photos are; name them with --root")
    return Path(known["root"])
