"""Several that decode at once, ahead of whoever needs the pixels."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vision_ft.framing import Framing, Pixels
from vision_ft.runtime.photos import Photo, framed
from vision_ft.runtime.process import Worker

# The largest photo of all may just have been begun; a file that hangs takes longer, and is left behind.
_FAREWELL_SECONDS = 0.5


class Decoder(Protocol):
    """Decodes one photo at a time."""

    def __call__(self, photo: Photo) -> Pixels | str:
        """The photo's pixels, or why there are none."""

    def abandon(self) -> None:
        """Hurry: nobody waits for the photo any more. Called from another thread."""

    def close(self) -> None:
        """Give back what it holds."""


class InThread:
    """Decodes in the thread that asks. Pillow leaves the interpreter's lock while it does."""

    def __init__(self, framing: Framing) -> None:
        """Hold on to the framing."""
        self._framing = framing

    def __call__(self, photo: Photo) -> Pixels | str:
        """The photo's pixels, or why there are none."""
        return framed(photo, self._framing)

    def abandon(self) -> None:
        """Nothing can be done about it."""

    def close(self) -> None:
        """Nothing is held."""


class Decoded(NamedTuple):
    """A photo, where it stands in the order, and its pixels or the reason why there are none."""

    number: int
    photo: Photo
    pixels: Pixels | str


@dataclass
class _Task:
    number: int
    photo: Photo
    began: float | None = None
    given_up: bool = False
    result: Pixels | str | BaseException | None = None


class Crew:
    """Threads, each with a decoder of its own; a context manager, for one thread at a time.

    A thread whose photo takes too long is left behind, and another one takes its place.
    """

    def __init__(self, hire: Callable[[], Decoder], count: int, timeout: float | None) -> None:
        """Start the threads.

        Args:
            hire: makes a decoder.
            count: how many decode at once.
            timeout: seconds that a photo may take here; for decoders that have no limit of their own.
        """
        self._hire = hire
        self._timeout = timeout
        self._todo: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._open: dict[int, _Task] = {}
        self._decoders: list[Decoder] = []
        self._stopped = False
        self._threads = [self._start() for _ in range(count)]

    def __enter__(self) -> Crew:
        """Give itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Let the threads end; one that hangs is not waited for."""
        self._stopped = True
        for decoder in list(self._decoders):
            decoder.abandon()
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(_FAREWELL_SECONDS)

    def submit(self, number: int, photo: Photo) -> None:
        """Have a photo decoded when its turn comes."""
        task = self._open[number] = _Task(number, photo)
        self._todo.put(task)

    def next(self) -> Decoded:
        """Wait for a photo to be decoded, in whatever order; as many were submitted more than were had.

        Raises:
            RuntimeError: no process can be started to decode.
        """
        while True:
            try:
                task = self._done.get(timeout=self._patience())
            except queue.Empty:
                if (late := self._late()) is None:
                    continue
                task = late
            if self._open.pop(task.number, None) is None:
                continue  # it was given up, and came all the same
            if isinstance(task.result, BaseException):
                raise task.result
            if task.result is not None:
                return Decoded(task.number, task.photo, task.result)

    def _patience(self) -> float | None:
        """Seconds until a photo may have taken too long."""
        if self._timeout is None:
            return None
        began = [task.began for task in self._open.values() if task.began is not None]
        return max(0.0, min(began, default=time.monotonic()) + self._timeout - time.monotonic()) + 0.01

    def _late(self) -> _Task | None:
        if self._timeout is None:
            return None
        for task in self._open.values():
            if task.began is not None and time.monotonic() - task.began >= self._timeout and task.result is None:
                task.given_up = True
                self._threads.append(self._start())
                reason = f"given up: decoding it took longer than {self._timeout:g} s"
                return _Task(task.number, task.photo, result=reason)
        return None

    def _start(self) -> threading.Thread:
        # A daemon: one that hangs must not keep the program from ending.
        thread = threading.Thread(target=self._work, name="photos", daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        decoder = self._hire()
        self._decoders.append(decoder)
        try:
            while (task := self._todo.get()) is not None and not self._stopped:
                task.began = time.monotonic()
                try:
                    task.result = decoder(task.photo)
                except BaseException as error:
                    task.result = error
                self._done.put(task)
                if task.given_up:
                    return  # somebody else is in its place
        finally:
            decoder.close()


def crew_of(framing: Framing, *, processes: int, threads: int, timeout: float | None) -> Crew:
    """Those who decode for a framing: so many processes, or in their place so many threads of this one."""
    if processes:
        return Crew(lambda: Worker(framing, timeout), processes, None)
    return Crew(lambda: InThread(framing), threads, timeout)
