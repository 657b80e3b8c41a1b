"""``vision-ft data prepare``: from findings to a manifest to fit on."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
from rich.console import Console

from vision_ft.audit.earlier import Parts, kept_parts, parts_before
from vision_ft.audit.findings import counts
from vision_ft.audit.kinds import KINDS, Level
from vision_ft.audit.plan import mend
from vision_ft.commands.answers import add_answers, decide, read_answers
from vision_ft.commands.auditing import FINDINGS, PAGE, Looked, add_options, look, refuse_inside, say, write_findings
from vision_ft.commands.parsing import parser_for
from vision_ft.data.dealing import deal, describe
from vision_ft.data.manifest import Manifest
from vision_ft.data.split import Split
from vision_ft.errors import DataError, ExitCode


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options = _parse(verb, args)
    split, answers = _split(options), read_answers(options)
    root, out = options.root.expanduser(), options.out.expanduser()
    refuse_inside(root, out)
    files = [out / name for name in _names(options.format, split)]
    earlier = _earlier(options.earlier, files, split)
    looked = look(options)
    console = Console()
    for note in looked.listing.notes:
        say(console, note)
    found = counts(looked.audit.findings)
    fixes = decide(answers, found)
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
    add_answers(parser)
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


def _earlier(asked: Sequence[Path] | None, files: Sequence[Path], split: Split) -> Parts:
    """The parts of the manifests that were asked for, or else of those that are there."""
    known = [file.expanduser() for file in (files if asked is None else asked)]
    there = [file for file in known if file.exists()]
    missing = [file for file in known if not file.exists()]
    if missing and (asked is not None or there):
        mend = "give all of them" if asked is not None else "put it back, or name another --out"
        raise DataError(f"{missing[0]}: no such manifest; {mend}")
    if len(there) not in (0, split.folds or 1):
        raise DataError(f"--earlier: {len(there)} manifests for {split.folds or 1}; give one, or one a fold")
    return parts_before([Manifest.read(file, file.parent, ()) for file in there])


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
