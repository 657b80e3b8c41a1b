"""A room in which a decoder may die.

``python -m tests.fuzzing module:function`` waits for photos on its standard input and decodes each in a process of
its own, forked from one that has all imports done. What the process did is told back: the kernel counts its time and
its memory, of Python's heap and of the libraries' alike.
"""

from __future__ import annotations

import importlib
import json
import logging
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image

# One photo may use this much processor time, and this much memory beyond what the process had before. The memory is
# that of the largest photo that is read, in the format that takes most: 16 bytes a pixel, for WebP.
SECONDS = 1.0
MEMORY = 1280 << 20
# For a photo of the most pixels allowed: a sound one of that size takes more than a second too.
LARGE_SECONDS = 4.0
# Not part of the promise: these keep the machine well when the promise is broken.
WALL_SECONDS = 20.0
ADDRESSES = 4 << 30

_REQUEST = struct.Struct("<dBI")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Outcome:
    """What became of one photo.

    Attributes:
        fault: what it did that no photo may do; None if all is well.
        said: the mode and the size of the image, or the reason why it was refused.
        read: whether there is an image.
        seconds: the processor time.
        memory: the most memory held at once, in bytes, beyond what the process had before.
    """

    fault: str | None
    said: str
    read: bool
    seconds: float
    memory: int


class Room:
    """Decodes photos where a crash, a hang or a flood does no harm; a context manager."""

    def __init__(self, decoder: str = "vision_ft.imaging:decode") -> None:
        # Not in the process that decodes: its memory is measured.
        from tests.conftest import environment

        root = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzzing", decoder],
            cwd=root,
            env=environment(OPENBLAS_NUM_THREADS="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def decode(self, photo: bytes | Path, seconds: float = SECONDS) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        payload = bytes(photo) if isinstance(photo, Path) else photo
        self._process.stdin.write(_REQUEST.pack(seconds, isinstance(photo, Path), len(payload)) + payload)
        self._process.stdin.flush()
        answer = json.loads(_framed(self._process.stdout))
        return _judged(answer, seconds)


def _judged(answer: dict[str, Any], seconds: float) -> Outcome:
    said = answer.get("refused", answer.get("image", ""))
    fault = None
    if answer["signal"] == signal.SIGPROF or answer["seconds"] > seconds:
        fault = f"took more than {seconds:g} s"
    elif answer["signal"] == signal.SIGALRM:
        fault = f"stood still for {WALL_SECONDS:g} s"
    elif answer["signal"]:
        fault = f"died of {signal.Signals(answer['signal']).name}"
    elif "raised" in answer:
        fault = f"raised {answer['raised']}"
    elif answer["memory"] > MEMORY or "not enough memory" in said:
        fault = f"took more than {MEMORY >> 20} MiB ({answer['memory'] >> 20})"
    elif "refused" in answer and (not said.strip() or len(said.splitlines()) != 1):
        fault = f"was refused with {said!r}, which is not one line"
    elif "image" in answer and not answer["whole"]:
        fault = f"gave {said}, which is no RGB image read to its last row"
    elif "refused" not in answer and "image" not in answer:
        fault = f"ended with exit code {answer['code']} and no word"
    elif answer["leaked"]:
        fault = f"let out {answer['leaked'][0]!r}"
    return Outcome(fault, said, "image" in answer, answer["seconds"], answer["memory"])


def _framed(stream: IO[bytes]) -> bytes:
    length: int = _LENGTH.unpack(stream.read(_LENGTH.size))[0]
    return stream.read(length)


def serve(decoder: str) -> None:
    """Answer photos on the standard input until it ends."""
    # Recorded rather than raised: raised, a warning would pass for the reason why a photo is refused.
    warnings.simplefilter("always")
    module, name = decoder.split(":")
    decode = getattr(importlib.import_module(module), name)
    Image.init()
    before = _in_child(lambda: {})["peak"]
    while header := sys.stdin.buffer.read(_REQUEST.size):
        seconds, is_path, length = _REQUEST.unpack(header)
        data = sys.stdin.buffer.read(length)
        source: bytes | Path = Path(os.fsdecode(data)) if is_path else data
        answer = _in_child(lambda source=source, seconds=seconds: _attempt(decode, source, seconds))
        answer["memory"] = max(0, answer.pop("peak") - before)
        reply = json.dumps(answer).encode()
        sys.stdout.buffer.write(_LENGTH.pack(len(reply)) + reply)
        sys.stdout.buffer.flush()


def _in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status, usage = os.wait4(child, 0)
    return {
        "seconds": usage.ru_utime + usage.ru_stime,
        **(json.loads(told) if told else {}),
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
        "peak": usage.ru_maxrss * 1024,
    }


def _attempt(decode: Callable[[Any], Any], source: bytes | Path, seconds: float) -> dict[str, Any]:
    from vision_ft.errors import UnreadablePhoto

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)  # libtiff talks there, and cannot be asked not to
    leaked: list[str] = []
    warnings.showwarning = lambda message, *_: leaked.append(f"{type(message).__name__}: {message}")
    last_resort = logging.Handler(logging.WARNING)  # where a log record goes that nobody asked for: to the terminal
    last_resort.emit = lambda record: leaked.append(record.getMessage())  # type: ignore[method-assign]
    logging.lastResort = last_resort  # type: ignore[assignment]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_addresses() + ADDRESSES,) * 2)
    # The kernel's clocks end the process wherever it is, in a library's loop too.
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    began = time.process_time()
    told: dict[str, Any] = {}
    try:
        given = decode(source)
        image = given[0] if isinstance(given, tuple) else given  # ``examine`` gives more beside the image
        told["image"] = f"{image.mode} {image.width} × {image.height}"
        told["whole"] = image.mode == "RGB" and image.width > 0 < image.height and not getattr(image, "tile", [])
        image.getpixel((image.width - 1, image.height - 1))
    except UnreadablePhoto as error:
        told["refused"] = str(error)
    except BaseException as error:
        told["raised"] = f"{type(error).__name__}: {error}"[:500]
    return {**told, "seconds": time.process_time() - began, "leaked": leaked[:3]}


def _addresses() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE


# Decoders that do what none may, to see that it is seen.


def crash(_: bytes) -> Image.Image:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def spin(_: bytes) -> Image.Image:
    while True:
        pass


def flood(_: bytes) -> Image.Image:
    filled = b"x" * (MEMORY + (64 << 20))
    return Image.new("RGB", (8, 8), (filled[0], 0, 0))


def stray(_: bytes) -> Image.Image:
    raise KeyError("not an UnreadablePhoto")


def mumble(_: bytes) -> Image.Image:
    warnings.warn("a warning", stacklevel=1)
    return Image.new("RGB", (8, 8))


def log(_: bytes) -> Image.Image:
    logging.getLogger("PIL.some").error("a log record")
    return Image.new("RGB", (8, 8))


def grey(_: bytes) -> Image.Image:
    return Image.new("L", (8, 8))


def leave(_: bytes) -> Image.Image:
    os._exit(3)


def wordless(_: bytes) -> Image.Image:
    from vision_ft.errors import UnreadablePhoto

    raise UnreadablePhoto("")


if __name__ == "__main__":
    serve(sys.argv[1])
