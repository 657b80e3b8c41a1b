"""What the commands say on a terminal or into a pipe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def forget_reader() -> None:
    """Go on without whoever read, as with ``| head``. Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(console: Console, line: str) -> None:
    """A line as it is: paths are neither coloured nor broken."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)
