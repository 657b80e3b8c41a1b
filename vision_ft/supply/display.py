"""How far a fetch is, for people who wait."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

# Seconds between two lines about how far it is, where there is no terminal for a bar.
_QUIET = 30.0


class Display:
    """How far a stage is, on stderr: a bar on a terminal; elsewhere a line now and then."""

    def __init__(self, line: str, what: str) -> None:
        """Say a line when it begins; ``what`` stands beside the bar."""
        console = Console(stderr=True)
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        text = TextColumn("{task.description}", markup=False)
        self._bar = Progress(text, *columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(what, total=None)
        self._line, self._what = line, what
        self._done, self._told = -1, time.monotonic()

    def __enter__(self) -> Display:
        """Begin."""
        self.say(self._line)
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the bar away."""
        self._bar.stop()

    def say(self, line: str) -> None:
        """Write a line, above the bar if there is one."""
        self._bar.console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def progress(self, done: int, total: int | None) -> None:
        """Show how many bytes are done, of how many."""
        if self._done < 0 or done < self._done:
            # What lay here before did not come just now, and is no measure of how fast it comes.
            self._bar.reset(self._task, total=total, completed=done)
        self._done = done
        self._bar.update(self._task, completed=done, total=total)
        if self._bar.disable and time.monotonic() - self._told > _QUIET:
            self._told = time.monotonic()
            self.say(f"{self._what}: {decimal(done)}" + ("" if total is None else f" of {decimal(total)}"))
