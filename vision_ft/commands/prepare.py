"""``vision-ft data prepare``: from findings to a manifest to fit on."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from vision_ft.audit.earlier import Parts, kept_parts, other_labels
from vision_ft.audit.kinds import KINDS, Level
from vision_ft.audit.plan import apart, leave_out, mend, reason_of
from vision_ft.commands.answers import add_answers, decide, read_answers
from vision_ft.commands.auditing import (
    Looked,
    add_options,
    look,
    write_findings,
)
from vision_ft.commands.console import say
from vision_ft.commands.manifests import names_of, read_earlier, seen_from, without_unused, write_all
from vision_ft.commands.parsing import parser_for
from vision_ft.commands.places import FINDINGS, PAGE, refuse_inside, usable_places
from vision_ft.data.dealing import deal_folds, describe
from vision_ft.data.manifest import Manifest
from vision_ft.data.split import Split
from vision_ft.errors import ExitCode
from vision_ft.files import shown

# What may come of photos that were added since sides were dealt.
_BOUND = "nearly the same as one on another side of the split"


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options = _parse(verb, args)
    split, answers = _split(options), read_answers(options)
    with usable_places(options.root, options.out):
        root, out = options.root.expanduser(), options.out.expanduser()
        refuse_inside(root, out)
        files = [out / name for name in names_of(options.format, split.folds)]
        earlier = read_earlier(options.earlier, out, files)
        looked = look(options, out)
        found = looked.audit.counts
        fixes = decide(answers, found)
        mended = mend(looked.survey.manifest, looked.audit.findings, fixes)
        kept = kept_parts(mended, earlier)
        dealt = [without_unused(one) for one in deal_folds(mended, _each_fold(split), kept)]
        bound = {row for manifest in dealt for row in apart(manifest)}
        if answers.of("near_leak"):
            dealt = [leave_out(manifest, bound, "near_leak", _BOUND) for manifest in dealt]
        manifests = [seen_from(manifest, out) for manifest in dealt]
        # All is written before anything is said: whoever reads may go away.
        write_findings(out, looked, f"vision-ft fit --data.root {shlex.quote(str(files[0]))}")
        saved = write_all(dict(zip(files, manifests, strict=True)))
    console = Console()
    for line in (
        *looked.listing.notes,
        *_done(looked, mended, found, fixes),
        *_about_earlier(mended, earlier, len(kept)),
        *_about_bound(len(bound), left_out=bool(answers.of("near_leak"))),
        *(f"the manifest that was there is kept as {path}" for path in saved),
        *map(describe, manifests),
        f"findings: {out / PAGE}, {out / FINDINGS}",
        *(f"manifest: {file}" for file in files),
        *(f"next: vision-ft fit --data.root {shlex.quote(str(file))}" for file in files),
    ):
        say(console, line)
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


def _done(looked: Looked, mended: Manifest, found: dict[str, int], fixes: Sequence[str]) -> Iterator[str]:
    """What was done, what was left, and what is to know."""
    reasons = [reason_of(problem) for problem in mended.table["problem"].drop_nulls()]
    for name, count in found.items():
        kind = KINDS[name]
        if name in fixes:
            left_out = reasons.count(name)
            yield f"{kind.level}, done: {count:,} {kind.title} ({name}): {kind.fix}; {left_out:,} left out for it"
    for name, count in found.items():
        kind = KINDS[name]
        if name not in fixes and kind.level is Level.RECOMMENDED:
            yield f"{kind.level}, left as it is: {count:,} {kind.title}; --fix {name} {kind.fix}"
    for name, count in found.items():
        kind = KINDS[name]
        if kind.level is Level.NOTE:
            yield f"{kind.level}: {count:,} {kind.title}. {kind.why}"
    for note in looked.audit.notes:
        yield f"not looked for: {note}"


def _about_earlier(mended: Manifest, earlier: Parts, kept: int) -> Iterator[str]:
    if kept:
        yield f"{kept:,} photos were dealt before and stay on their sides"
    if others := other_labels(mended, earlier):
        yield (
            f"{len(others):,} photos have another label in the earlier manifest ({shown(others[0])} for one), which is "
            "not taken over; to go on from labels that were mended there, prepare that manifest itself"
        )


def _about_bound(count: int, *, left_out: bool) -> Iterator[str]:
    if count:
        done = "left out" if left_out else "left as they are; --fix near_leak leaves them out"
        yield f"{count:,} photos are {_BOUND}: {done}"
