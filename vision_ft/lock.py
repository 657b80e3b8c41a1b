"""One process at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from vision_ft.errors import InputError


def hold(file: IO[Any], error: InputError) -> None:
    """Hold on to a file for as long as it is open; the system lets go of it however the process ends.

    On Windows nothing is held.

    Raises:
        InputError: the one given: another process holds it.
    """
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise error from None


@contextmanager
def waiting(file: IO[Any]) -> Iterator[None]:
    """Hold on to a file while the block lasts, after whoever else does. On Windows nothing is held."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
