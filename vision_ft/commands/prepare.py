"""``vision-ft data prepare``: from findings to a manifest to fit on."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
from rich.console import Console

from vision_ft.audit.earlier import Parts, kept_parts, parts_before
from vision_ft.audit.findings import counts
from vision_ft.audit.kinds import KINDS, NECESSARY, RECOMMENDED, Level
from vision_ft.audit.plan import mend
from vision_ft.commands.auditing import FINDINGS, PAGE, Looked, add_options, look, refuse_inside, say, write_findings
from vision_ft.commands.parsing import parser_for
from vision_ft.data.dealing import deal, describe
from vision_ft.data.manifest import Manifest
from vision_ft.data.split import Split
from vision_ft.errors import DataError, ExitCode, UsageError, nearest


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options = _parse(verb, args)
    split = _split(options)
    root, out = options.root.expanduser(), options.out.expanduser()
    refuse_inside(root, out)
    files = [out / name for name in _names(options.format, split)]
    earlier = _earlier(files if options.earlier is None else options.earlier, split)
    looked = look(options)
    console = Console()
    for note in looked.listing.notes:
        say(console, note)
    found = counts(looked.audit.findings)
    fixes = _decide(options, found)
    mended = _from(mend(looked.survey.manifest, looked.audit.findings, fixes), out)
    kept = kept_parts(mended, earlier)
    manifests = [deal(mended, one, kept) for one in _each_fold(split)]
    write_findings(out, looked, f"vision-ft fit --data.root {shlex.quote(str(files[0]))}")
    for file, manifest in zip(files, manifests, strict=True):
        if saved := _write(manifest, file):
            say(console, f"the manifest that was there is kept as {saved}")
    _tell(console, looked, found, fixes, len(kept))
    for manifest in manifests:
        say(console, describe(manifest))
    say(console, f"findings: {out / PAGE}, {out / FINDINGS}")
    for file in files:
        say(console, f"manifest: {file}")
    for file in files:
        say(console, f"next: vision-ft fit --data.root {shlex.quote(str(file))}")
    return ExitCode.DONE


def _parse(verb: str, args: Sequence[str]) -> argparse.Namespace:
    parser = parser_for(
        verb,
        "Write a manifest of labelled photos to fit on: what is necessary is mended, what is recommended is asked for, "
        "and photos are dealt out to training, validation and test. Touches no photo. Over an earlier manifest, every "
        "photo stays on its side and only new ones are dealt.",
    )
    add_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the manifest, the page and the tables")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help="of the manifest (default csv)")
    answers = parser.add_argument_group(
        "what is recommended", f"asked for on a terminal, and left as it is elsewhere; names: {', '.join(RECOMMENDED)}"
    )
    answers.add_argument("--yes", action="store_true", help="do all that is recommended")
    answers.add_argument("--no", action="store_true", help="do nothing of what is recommended")
    answers.add_argument("--fix", action="append", default=[], metavar="NAMES", help="do these, with commas between")
    answers.add_argument("--leave", action="append", default=[], metavar="NAMES", help="leave these as they are")
    defaults = Split()
    dealing = parser.add_argument_group("split", "of photos that are on no side yet")
    for name in ("train", "val", "test"):
        share = getattr(defaults, name)
        dealing.add_argument(f"--{name}", type=float, default=share, help=f"share (default {share})")
    for name in ("train", "val", "test"):
        dealing.add_argument(f"--{name}-per-class", type=int, help="photos of each class, in place of the share")
    dealing.add_argument("--folds", type=int, help="write so many manifests, for cross-validation")
    dealing.add_argument("--split-seed", type=int, default=defaults.seed, help="which photos go where (default 0)")
    dealing.add_argument(
        "--earlier", type=Path, nargs="+", help="manifests whose sides are kept (default: those in --out)"
    )
    return parser.parse_args(args)


def _split(options: argparse.Namespace) -> Split:
    return Split(
        train=options.train,
        val=options.val,
        test=options.test,
        seed=options.split_seed,
        train_per_class=options.train_per_class,
        val_per_class=options.val_per_class,
        test_per_class=options.test_per_class,
        folds=options.folds,
    )


def _each_fold(split: Split) -> list[Split]:
    return [split] if split.folds is None else [replace(split, fold=fold) for fold in range(split.folds)]


def _names(kind: str, split: Split) -> list[str]:
    folds = [""] if split.folds is None else [f".fold-{fold}" for fold in range(split.folds)]
    return [f"manifest{fold}.{kind}" for fold in folds]


def _earlier(files: Sequence[Path], split: Split) -> Parts:
    there = [file.expanduser() for file in files if file.expanduser().exists()]
    missing = [file for file in files if not file.expanduser().exists()]
    if there and missing:
        raise DataError(f"{missing[0]}: no such manifest beside {there[0]}; give all of them, or name another --out")
    if len(there) not in (0, split.folds or 1):
        raise DataError(f"--earlier: {len(there)} manifests for {split.folds or 1}; give one, or one a fold")
    return parts_before([Manifest.read(file, file.parent, ()) for file in there])


def _decide(options: argparse.Namespace, found: dict[str, int]) -> list[str]:
    """The kinds of findings that are to be fixed."""
    fix, leave = _kinds("--fix", options.fix), _kinds("--leave", options.leave)
    both = [name for name in fix if name in leave]
    if both or (options.yes and options.no):
        what = ", ".join(both) if both else "all that is recommended"
        raise UsageError(f"{what}: both asked for and not; give one of the two")
    fixes = [name for name in NECESSARY if name in found]
    for name in RECOMMENDED:
        if name not in found or name in leave:
            continue
        if name in fix or (options.yes and not options.no) or (not options.no and _ask(name, found[name])):
            fixes.append(name)
    return fixes


def _kinds(option: str, given: Sequence[str]) -> list[str]:
    names = [name.strip().replace("-", "_") for one in given for name in one.split(",") if name.strip()]
    for name in names:
        if name not in RECOMMENDED:
            why = "is done in any case" if name in NECESSARY else "is nothing that can be fixed"
            hint = f" {why};" if name in KINDS else f"{nearest(name, RECOMMENDED)};"
            raise UsageError(f"{option}: {name!r}{hint} there are {', '.join(RECOMMENDED)}")
    return names


def _ask(name: str, count: int) -> bool:
    if not sys.stdin.isatty():
        return False
    kind = KINDS[name]
    sys.stderr.write(f"{count:,} {kind.title}. {kind.why}\n")
    while True:
        sys.stderr.write(f"  data prepare {kind.fix}: do it? [y/n] ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer or answer.strip().lower() in ("n", "no"):
            return False
        if answer.strip().lower() in ("y", "yes"):
            return True


def _from(manifest: Manifest, out: Path) -> Manifest:
    """The same photos with paths as they are written in a table that lies in ``out``."""
    # Without links on the way, through which ".." would lead elsewhere.
    root, folder = manifest.root.resolve(), out.resolve()
    paths = [os.path.relpath(root / path, folder) for path in manifest.table["path"]]
    places = [Path(path).as_posix() for path in paths]
    return replace(manifest, root=out, table=manifest.table.with_columns(pl.Series("path", places, dtype=pl.String)))


def _write(manifest: Manifest, file: Path) -> Path | None:
    """Write a manifest; another one that is there is kept under the name that is returned."""
    new = file.with_name(f".{file.name}")
    manifest.write(new)
    saved = None
    if file.exists() and file.read_bytes() != new.read_bytes():
        saved = next(place for place in _numbered(file) if not place.exists())
        file.rename(saved)
    new.replace(file)
    return saved


def _numbered(file: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield file.with_name(f"{file.stem}.before-{number}{file.suffix}")
        number += 1


def _tell(console: Console, looked: Looked, found: dict[str, int], fixes: Sequence[str], kept: int) -> None:
    """What was done, what was left, and what is to know."""
    for name, count in found.items():
        kind = KINDS[name]
        if name in fixes:
            say(console, f"{kind.level}, done: {count:,} {kind.title} ({name}): {kind.fix}")
    for name, count in found.items():
        kind = KINDS[name]
        if name not in fixes and kind.level is Level.RECOMMENDED:
            say(console, f"{kind.level}, left as it is: {count:,} {kind.title}; --fix {name} {kind.fix}")
    for name, count in found.items():
        kind = KINDS[name]
        if kind.level is Level.NOTE:
            say(console, f"{kind.level}: {count:,} {kind.title}. {kind.why}")
    for note in looked.audit.notes:
        say(console, f"not looked for: {note}")
    if kept:
        say(console, f"{kept:,} photos were dealt before and stay on their sides")
