"""The argument parser of the verbs that are not Lightning's."""

from __future__ import annotations

import argparse
from typing import NoReturn

from vision_ft.errors import UsageError


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every error of ours does, and not behind a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parser_for(verb: str, about: str) -> argparse.ArgumentParser:
    """An empty parser for a verb."""
    return _Parser(prog=f"vision-ft {verb}", description=about, allow_abbrev=False)
