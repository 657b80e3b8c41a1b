"""How far a prediction at length is; on a terminal only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vision_ft.runtime.predictor import Prediction

if TYPE_CHECKING:
    from rich.progress import Progress, Task
    from rich.text import Text


@contextmanager
def progress(
    shown: bool, count: Callable[[], int | None], already: int = 0
) -> Iterator[Callable[[Iterable[Prediction]], Iterator[Prediction]]]:
    """Something that predictions pass through, and that shows how many, at which rate, and the time left.

    Args:
        shown: whether it shows anything.
        count: how many photos there are, if that can be known; asked from a thread, for it may take a while.
        already: how many of them were done before.
    """
    if not shown:
        yield iter
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f} photos/s")

    unreadable = 0
    columns = (BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn(), TextColumn("{task.fields[bad]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, completed=already, bad="")
        threading.Thread(target=lambda: _tell_total(bar, task, count), daemon=True).start()

        def through(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
            nonlocal unreadable
            for prediction in predictions:
                unreadable += prediction.error is not None
                bar.update(task, advance=1, bad=f"{unreadable:,} cannot be read" if unreadable else "")
                yield prediction

        yield through


def _tell_total(bar: Progress, task: object, count: Callable[[], int | None]) -> None:
    try:
        bar.update(task, total=count())  # type: ignore[arg-type]
    except Exception:  # the one who reads the folder in earnest says what is wrong with it
        return


def on_terminal() -> bool:
    """Whether somebody watches."""
    return sys.stderr.isatty()
