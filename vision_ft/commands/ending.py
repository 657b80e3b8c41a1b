"""Ctrl-C and SIGTERM, heard at once, but not in the middle of a record."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vision_ft.errors import ExitCode


class Ending:
    """Whether somebody wants the command to end."""

    def __init__(self) -> None:
        """Nobody does yet."""
        self._busy = False
        self._asked: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while the block lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def waits(self) -> Iterator[None]:
        """A signal takes effect after the block, the second one at once.

        Raises:
            KeyboardInterrupt: Ctrl-C was typed meanwhile.
            SystemExit: the process was told to end meanwhile.
        """
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._asked is not None:
            _end(self._asked)

    def _hear(self, number: int, _: FrameType | None) -> None:
        at_once = not self._busy or self._asked is not None
        self._asked = number
        if at_once:
            _end(number)


def _end(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(ExitCode.TERMINATED)
