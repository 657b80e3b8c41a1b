"""``vision-ft data check``: what is wrong with labelled photos."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vision_ft.audit.kinds import KINDS, Level
from vision_ft.audit.page import verdict
from vision_ft.commands.auditing import (
    Looked,
    add_options,
    again,
    look,
    show_findings,
    write_findings,
)
from vision_ft.commands.console import forget_reader, say
from vision_ft.commands.parsing import parser_for
from vision_ft.commands.places import FINDINGS, PAGE, refuse_inside, usable_places
from vision_ft.errors import ExitCode

# What each answer of --fail-on counts.
_FAIL_ON = {
    "note": tuple(Level),
    "recommended": (Level.NECESSARY, Level.RECOMMENDED),
    "necessary": (Level.NECESSARY,),
}


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    parser = parser_for(
        verb,
        "Say what is wrong with labelled photos: files that cannot be read, duplicates, leaks, suspected wrong labels "
        "and more. Writes a page and a table; touches no photo. Exit code 0: nothing found; 3: something was found.",
    )
    add_options(parser)
    parser.add_argument(
        "--out", type=Path, help="folder for the page and the tables, written over (default checks/NAME)"
    )
    parser.add_argument(
        "--fail-on",
        choices=_FAIL_ON,
        default="note",
        help="the least finding that makes the exit code 3 (default %(default)s: any)",
    )
    options = parser.parse_args(args)
    root = options.root
    with usable_places(root, Path() if options.out is None else options.out):
        root = root.expanduser()
        name = root.resolve()
        default = Path("checks", name.stem if name.is_file() else name.name)
        out = default if options.out is None else options.out.expanduser()
        refuse_inside(root, out)
        looked = look(options, out)
        command = f"vision-ft data prepare {again(options)} --out {shlex.quote(str(Path('prepared', out.name)))}"
        write_findings(out, looked, command)
    counted = _FAIL_ON[options.fail_on]
    found = any(KINDS[kind].level in counted for kind in looked.audit.counts)
    code = ExitCode.FINDINGS if found else ExitCode.DONE
    try:
        _tell(Console(), looked, out, command)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # It changes nothing of what was found.
        forget_reader()
    return code


def _tell(console: Console, looked: Looked, out: Path, command: str) -> None:
    manifest = looked.survey.manifest
    for note in looked.listing.notes:
        say(console, note)
    say(
        console,
        f"{manifest.table.height:,} files of {len(manifest.classes)} classes: {manifest.readable.height:,} can be read",
    )
    show_findings(console, looked)
    say(console, verdict(looked.audit))
    say(console, f"page: {out / PAGE}")
    say(console, f"table: {out / FINDINGS}")
    say(console, f"next: {command}")
