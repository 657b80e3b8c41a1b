"""What ``data check`` and ``data prepare`` have in common: options, the look at the photos, and what they show."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vision_ft.audit.check import Audit, audit
from vision_ft.audit.files import Limits
from vision_ft.audit.kinds import KINDS, Level
from vision_ft.audit.page import write_page
from vision_ft.commands.console import say
from vision_ft.commands.places import FINDINGS, PAGE, RANKING, refuse_among
from vision_ft.data.layout import AUTO, LAYOUTS, list_photos
from vision_ft.data.listing import Listing
from vision_ft.data.survey import Survey, survey
from vision_ft.errors import UsageError

_BACKBONE, _WEIGHTS = "tf_efficientnet_lite0", "builtin:"
_COLOURS = {Level.NECESSARY: "red", Level.RECOMMENDED: "yellow", Level.NOTE: ""}


@dataclass(frozen=True)
class Looked:
    """Photos that were looked at."""

    listing: Listing
    survey: Survey
    audit: Audit


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what both commands take."""
    default = Limits()
    parser.add_argument("root", metavar="ROOT", type=Path, help="a labelled folder of photos, or a table of them")
    parser.add_argument("--layout", default=AUTO, choices=LAYOUTS, help="how the folder is read (default %(default)s)")
    parser.add_argument(
        "--no-suspects",
        action="store_true",
        help="do not look for wrong labels and strange pictures, which takes a pass of a network over all photos",
    )
    parser.add_argument("--backbone", default=_BACKBONE, help="timm's name of that network (default %(default)s)")
    parser.add_argument(
        "--weights", default=_WEIGHTS, help="its weights, as model.weights names them (default %(default)s)"
    )
    parser.add_argument(
        "--min-side", type=int, default=default.side, help="pixels of the shorter side (default %(default)s)"
    )
    parser.add_argument(
        "--max-shape", type=float, default=default.shape, help="longer side over shorter side (default %(default)s)"
    )


def look(options: argparse.Namespace, out: Path) -> Looked:
    """List the photos, look at each, and find what there is to find.

    Args:
        options: as :func:`add_options` adds them.
        out: where it will be written; refused before anything long is begun if that is among the photos.

    Raises:
        UsageError: a limit is out of range.
        DataError: the folder cannot be used.
    """
    if options.min_side < 1 or not options.max_shape >= 1:
        raise UsageError("--min-side and --max-shape must be 1 or more")
    listing = list_photos(options.root.expanduser(), options.layout)
    refuse_among(listing, out)
    if not options.no_suspects:
        # Imported before the photos are read, for a wrong name is worth knowing at once; and only where it is needed.
        from vision_ft.commands.features import check_names, frozen_features

        check_names(options.backbone, options.weights)
    looked = survey(listing)
    seen = None
    if not options.no_suspects:
        seen = frozen_features(looked.manifest, options.backbone, options.weights)
    limits = Limits(side=options.min_side, shape=options.max_shape)
    return Looked(listing, looked, audit(looked, limits, seen))


def again(options: argparse.Namespace) -> str:
    """The options that another command needs to look at the same photos in the same way."""
    plain = Limits()
    said = {
        "--layout": (options.layout, AUTO),
        "--backbone": (options.backbone, _BACKBONE),
        "--weights": (options.weights, _WEIGHTS),
        "--min-side": (options.min_side, plain.side),
        "--max-shape": (options.max_shape, plain.shape),
    }
    words = [shlex.quote(str(options.root))]
    words += [f"{name} {shlex.quote(str(value))}" for name, (value, default) in said.items() if value != default]
    return " ".join([*words, *(["--no-suspects"] if options.no_suspects else [])])


def write_findings(out: Path, looked: Looked, command: str) -> None:
    """Write the tables and the page, over those of an earlier check."""
    out.mkdir(parents=True, exist_ok=True)
    (out / FINDINGS).write_text(looked.audit.findings.drop("row", "other_row").write_csv(), encoding="utf-8")
    if looked.audit.ranking is None:
        # One of an earlier check would be taken for this one's.
        (out / RANKING).unlink(missing_ok=True)
    else:
        (out / RANKING).write_text(looked.audit.ranking.write_csv(float_precision=6), encoding="utf-8")
    write_page(out / PAGE, looked.survey, looked.audit, command)


def show_findings(console: Console, looked: Looked) -> None:
    """The findings in sums."""
    found = looked.audit.counts
    table = Table("found", "", "count", "data prepare")
    table.columns[2].justify = "right"
    for name, count in found.items():
        kind = KINDS[name]
        table.add_row(kind.title, Text(str(kind.level), _COLOURS[kind.level]), f"{count:,}", kind.fix)
    if found:
        console.print(table)
    for note in looked.audit.notes:
        say(console, f"not looked for: {note}")
