"""Ctrl-C and SIGTERM: noticed at once, answered when nothing is lost by it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytorch_lightning.utilities.exceptions import SIGTERMException

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody asked for the run to end, and how it ends then."""

    def __init__(self) -> None:
        """Nobody asked yet, and there is nothing to save."""
        self._asked: int | None = None
        self._process = os.getpid()
        # While true, a signal waits for the step to end, where a checkpoint is written.
        self.waits = False

    @property
    def asked(self) -> bool:
        """Whether a signal came and waits for its answer."""
        return self._asked is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while the block lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self.listen()
        try:
            yield
        finally:
            self.waits = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals, also from Lightning, whose own way with SIGTERM leaves out the checkpoint."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A process that reads photos; it ends with the one that it works for.
            return
        # Whoever asks a second time does not want to wait.
        at_once = self.asked or not self.waits
        self._asked = number
        if at_once:
            self.end()

    def nothing_to_save(self) -> None:
        """From here on a signal is answered at once, and one that waits is answered now."""
        self.waits = False
        if self.asked:
            self.end()

    def end(self) -> Any:
        """Leave the run.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, or another process of the run was told to stop.
            SIGTERMException: SIGTERM came.
        """
        if self._asked == signal.SIGTERM:
            raise SIGTERMException
        raise KeyboardInterrupt
