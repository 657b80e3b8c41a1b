"""What is to be done of what is recommended: said beforehand, or asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from vision_ft.audit.kinds import KINDS, NECESSARY, RECOMMENDED
from vision_ft.errors import UsageError, nearest


def add_answers(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    answers = parser.add_argument_group(
        "what is recommended", f"asked for on a terminal, and left as it is elsewhere; names: {', '.join(RECOMMENDED)}"
    )
    answers.add_argument("--yes", action="store_true", help="do all that is recommended")
    answers.add_argument("--no", action="store_true", help="do nothing of what is recommended")
    answers.add_argument("--fix", action="append", default=[], metavar="NAMES", help="do these, with commas between")
    answers.add_argument("--leave", action="append", default=[], metavar="NAMES", help="leave these as they are")


@dataclass(frozen=True)
class Answers:
    """What was said beforehand of what is recommended; ``rest`` is of what is not named."""

    fix: tuple[str, ...]
    leave: tuple[str, ...]
    rest: bool | None

    def of(self, name: str) -> bool | None:
        """``None`` where nothing was said."""
        if name in self.fix or name in self.leave:
            return name in self.fix
        return self.rest


def read_answers(options: argparse.Namespace) -> Answers:
    """What the options say.

    Raises:
        UsageError: a name is none of a recommended fix, or is both asked for and not.
    """
    fix, leave = _kinds("--fix", options.fix), _kinds("--leave", options.leave)
    both = [name for name in fix if name in leave]
    if both or (options.yes and options.no):
        what = ", ".join(both) if both else "all that is recommended"
        raise UsageError(f"{what}: both asked for and not; give one of the two")
    return Answers(fix, leave, True if options.yes else False if options.no else None)


def decide(answers: Answers, found: dict[str, int]) -> list[str]:
    """The kinds of findings that are to be fixed; asks on a terminal where nothing was said.

    Args:
        answers: given beforehand.
        found: how many of each kind there are.
    """
    fixes = [name for name in NECESSARY if name in found]
    for name in RECOMMENDED:
        if name in found:
            answer = answers.of(name)
            if _ask(name, found[name]) if answer is None else answer:
                fixes.append(name)
    return fixes


def _kinds(option: str, given: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip().replace("-", "_") for one in given for name in one.split(",") if name.strip())
    for name in names:
        if name not in RECOMMENDED:
            why = "is done in any case" if name in NECESSARY else "is nothing that can be fixed"
            hint = f" {why};" if name in KINDS else f"{nearest(name, RECOMMENDED)};"
            raise UsageError(f"{option}: {name!r}{hint} there are {', '.join(RECOMMENDED)}")
    return names


def _ask(name: str, count: int) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
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
