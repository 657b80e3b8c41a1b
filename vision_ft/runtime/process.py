"""A process that decodes, seen from the one that it works for."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from vision_ft.framing import Framing, Pixels
from vision_ft.runtime import worker
from vision_ft.runtime.photos import Named, Photo, framed

# A worker needs what only POSIX has: descriptors that are handed on.
AVAILABLE = os.name == "posix"

_START_SECONDS = 60.0
# A photo that two processes died of is at fault; one process alone may have been killed for another's sake.
_TRIES = 2
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from vision_ft.runtime.worker import main; main()"
)


class _DiedError(Exception):
    """The process ended before it answered; the message says how."""


class Worker:
    """Decodes photos in a process of its own, which is replaced when it hangs or dies. For one thread at a time."""

    def __init__(self, framing: Framing, timeout: float | None) -> None:
        """Nothing is started before the first photo comes.

        Args:
            framing: of what comes out.
            timeout: seconds that a photo may take; as many as it wants if not given.
        """
        self._framing = framing
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._abandoned = False
        self._memory = _shared_memory(framing.height * framing.width * 3)
        self._pixels = mmap.mmap(self._memory, framing.height * framing.width * 3)

    def __call__(self, photo: Photo) -> Pixels | str:
        """The photo's pixels, uint8 (height, width, 3), or why there are none.

        Raises:
            RuntimeError: no process can be started.
        """
        if isinstance(photo, (Image.Image, np.ndarray)) or (
            isinstance(photo, Named) and isinstance(photo.content, str)
        ):
            return framed(photo, self._framing)
        content = photo.content if isinstance(photo, Named) else photo
        try:
            kind, payload = _request(content)
        except ValueError:  # a name that no file can have, as reading it here is going to say
            return framed(photo, self._framing)
        how = "was not started"
        for _ in range(_TRIES):
            if self._abandoned:
                break
            try:
                return self._ask(kind, payload)
            except TimeoutError:
                self.stop()
                return f"given up: decoding it took longer than {self._timeout:g} s"
            except _DiedError as error:
                how = str(error)
                self.stop()
        return f"the process that decoded it {how}, {_TRIES} times"

    def abandon(self) -> None:
        """Have the process ended while another thread waits for it."""
        self._abandoned = True
        if (process := self._process) is not None:
            process.kill()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if self._link is not None:
            self._link.close()
        if self._process is not None:
            self._process.kill()
            # One that waits for a disk that does not answer cannot be killed, and is not waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
        self._link = self._process = None

    def close(self) -> None:
        """End the process and give its memory back."""
        self.stop()
        self._pixels.close()
        os.close(self._memory)

    def _ask(self, kind: int, payload: bytes) -> Pixels | str:
        link = self._started() if self._link is None else self._link
        link.settimeout(self._timeout)
        with self._naming_death():
            link.sendall(worker.HEADER.pack(kind, len(payload)))
            link.sendall(payload)
            answer, reason = self._receive(link)
        if answer == worker.REASON:
            return reason.decode("utf-8", "surrogatepass")
        size = (self._framing.height, self._framing.width, 3)
        return np.frombuffer(self._pixels, dtype=np.uint8).reshape(size).copy()

    def _receive(self, link: socket.socket) -> tuple[int, bytes]:
        kind, length = worker.HEADER.unpack(self._exactly(link, worker.HEADER.size))
        return kind, self._exactly(link, length)

    def _exactly(self, link: socket.socket, size: int) -> bytes:
        content = b""
        while len(content) < size:
            if not (some := link.recv(size - len(content))):
                raise ConnectionResetError
            content += some
        return content

    @contextlib.contextmanager
    def _naming_death(self) -> Iterator[None]:
        try:
            yield
        except ConnectionError as error:
            raise _DiedError(self._cause()) from error

    def _cause(self) -> str:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=1)
        if code is None or code >= 0:
            return f"ended by itself (exit code {code})"
        name = signal.Signals(-code).name if -code in signal.Signals.__members__.values() else f"signal {-code}"
        return f"was killed ({name}{'; memory may be short' if -code == signal.SIGKILL else ''})"

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109
        arguments = [theirs.fileno(), self._memory, self._timeout or 0, json.dumps(dataclasses.asdict(self._framing))]
        with contextlib.ExitStack() as opened, theirs:
            opened.enter_context(ours)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, *map(str, arguments), json.dumps(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libtiff talks there, and cannot be asked not to
                pass_fds=(theirs.fileno(), self._memory),
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                # Not told of a Ctrl-C on the terminal: whoever it works for says when it is over.
                process_group=0,
            )
            opened.pop_all()
        self._link = ours
        if self._abandoned:  # meanwhile
            self._process.kill()
        ours.settimeout(_START_SECONDS)
        try:
            self._receive(ours)
        except (ConnectionError, TimeoutError) as error:
            cause = self._cause()
            self.stop()
            if self._abandoned:
                raise _DiedError(cause) from error
            raise RuntimeError(f"a process that decodes could not be started: it {cause}") from error
        return ours


def _request(content: str | os.PathLike[str] | bytes) -> tuple[int, bytes]:
    return (worker.CONTENT, content) if isinstance(content, bytes) else (worker.PATH, os.fsencode(content))


def _shared_memory(size: int) -> int:
    """A descriptor of memory that a process started with it sees too."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pixels")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
