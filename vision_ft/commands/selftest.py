"""``vision-ft predict --self-test``: whether a bundle says here what it said where it was made."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vision_ft.commands.parsing import parser_for
from vision_ft.errors import ExitCode
from vision_ft.runtime.selftest import Tested, self_test

SELF_TEST = "--self-test"


def main(verb: str, args: Sequence[str]) -> int:
    """Run the test, and print a line for each engine."""
    parser = parser_for(f"{verb} {SELF_TEST}", "Ask a bundle of its own photos, and compare with what it said before.")
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="the folder of an exported model")
    options = parser.parse_args([arg for arg in args if arg != SELF_TEST])
    photos, found = self_test(options.bundle)
    for one in found:
        sys.stdout.write(f"{_line(one)}\n")
    failed = [one.engine for one in found if one.fault is not None and not one.skipped]
    passed = [one.engine for one in found if one.fault is None]
    verdict = f"{', '.join(failed)} must not be used on this machine" if failed else f"{', '.join(passed)} agree"
    sys.stdout.write(f"{'FAILED' if failed else 'passed'}: {verdict}; {photos} photos, at batch 1, 3 and 16\n")
    return ExitCode.FINDINGS if failed else ExitCode.DONE


def _line(one: Tested) -> str:
    if one.skipped:
        return f"{one.engine}: not tested, {one.fault}"
    largest = "" if one.largest is None else f"; at most {one.largest:.1e} off in probability, {one.allowed:g} allowed"
    return f"{one.engine}: {one.fault or 'agrees'}{largest}"
