"""Processes that decode, as they are: real ones, stopped and killed by real signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

if sys.platform == "win32":
    pytest.skip("there are no such processes", allow_module_level=True)

from tests.harm import saved
from vision_ft.framing import Framing
from vision_ft.imaging import read
from vision_ft.runtime.crew import Crew, crew_of
from vision_ft.runtime.photos import Named, Photo
from vision_ft.runtime.process import Worker

FRAMING = Framing(height=8, width=12, crop=1.0, interpolation="bilinear")


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(FRAMING, timeout=20)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose name is hard to hand on: with an end of line, and with a byte that is not UTF-8."""
    path = tmp_path_factory.mktemp("names") / os.fsdecode(b"a\nb \xff.png")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def pid(worker: Worker) -> int:
    assert worker._process is not None
    return worker._process.pid


def test_it_gives_what_is_decoded_here(worker: Worker, photo: Path) -> None:
    expected = read(photo, FRAMING)
    for given in (photo, str(photo), photo.read_bytes(), Named("x", photo.read_bytes())):
        assert np.array_equal(worker(given), expected)
    with Image.open(photo) as image:
        assert np.array_equal(worker(image), expected)
    first = worker(photo)
    worker(saved(Image.new("RGB", (9, 9)), "PNG"))
    assert np.array_equal(first, expected), "the next photo was written over it"


REFUSED: dict[str, tuple[Callable[[Path], Photo], str]] = {
    "missing": (lambda place: place / "none", "No such file"),
    "a folder": (lambda place: place, "Is a directory"),
    "a device": (lambda place: Path("/dev/zero"), "a device or a pipe"),
    "a socket": (lambda place: _socket(place / "s"), "a device or a pipe"),
    "a pipe": (lambda place: _pipe(place / "p"), "a device or a pipe"),
    "a name of 5,000 letters": (lambda place: str(place / ("x" * 5000)), "File name too long"),
    "a zero byte": (lambda place: str(place / "a\0b"), "null"),
    "a name that no file has": (lambda place: "\ud800", "surrogates not allowed"),
    "no bytes": (lambda place: b"", "empty"),
    "a reason": (lambda place: Named("x", "it is encrypted"), "it is encrypted"),
}


def _socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def test_what_is_no_photo_has_a_reason(worker: Worker, photo: Path, tmp_path: Path) -> None:
    for name, (make, reason) in REFUSED.items():
        found = worker(make(tmp_path))
        assert isinstance(found, str), name
        assert reason in found, name
    assert isinstance(worker(photo), np.ndarray)


def test_one_that_was_killed_is_replaced_and_no_photo_is_lost(worker: Worker, photo: Path) -> None:
    expected = worker(photo)
    first = pid(worker)
    os.kill(first, signal.SIGKILL)
    assert np.array_equal(worker(photo), expected)
    assert pid(worker) != first


def test_one_that_is_killed_while_it_decodes_is_replaced(worker: Worker, photo: Path) -> None:
    expected = worker(photo)
    stopped = pid(worker)
    os.kill(stopped, signal.SIGSTOP)
    threading.Timer(0.2, os.kill, (stopped, signal.SIGKILL)).start()
    assert np.array_equal(worker(photo), expected)


def test_a_photo_that_every_process_dies_of_has_a_line(
    worker: Worker, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = worker._started

    def start_and_kill() -> socket.socket:
        link = start()
        os.kill(pid(worker), signal.SIGKILL)
        return link

    monkeypatch.setattr(worker, "_started", start_and_kill)
    found = worker(photo)
    assert found == "the process that decoded it was killed (SIGKILL; memory may be short), 2 times"
    monkeypatch.undo()
    assert isinstance(worker(photo), np.ndarray)


def test_one_that_hangs_is_given_up_and_replaced(photo: Path) -> None:
    worker = Worker(FRAMING, timeout=0.5)
    assert isinstance(worker(photo), np.ndarray)
    stuck = pid(worker)
    os.kill(stuck, signal.SIGSTOP)  # as one that waits for a disk, or goes round in a loop
    began = time.monotonic()
    # More than a socket holds: it hangs in handing the photo on as well.
    for given in (photo, bytes(8 << 20)):
        assert worker(given) == "given up: decoding it took longer than 0.5 s"
        assert isinstance(worker(photo), np.ndarray)
        assert pid(worker) != stuck
        stuck = pid(worker)
        os.kill(stuck, signal.SIGSTOP)
    assert time.monotonic() - began < 15
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(stuck, 0)


def test_processes_end_with_the_crew(photo: Path) -> None:
    workers: list[Worker] = []

    def hire() -> Worker:
        workers.append(Worker(FRAMING, timeout=None))
        return workers[-1]

    with Crew(hire, 2, None) as crew:
        for number in range(8):
            crew.submit(number, photo)
        for _ in range(8):
            assert isinstance(crew.next().pixels, np.ndarray)
        started = [worker._process.pid for worker in workers if worker._process is not None]
        for number in started:
            os.kill(number, signal.SIGSTOP)  # they hang, without a limit
        for number in range(2):
            crew.submit(number, photo)
        time.sleep(0.2)
    assert len(started) == 2
    for number in started:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_a_process_that_cannot_be_started_is_a_defect(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision_ft.runtime.process._PROGRAM", "raise SystemExit(3)")
    with crew_of(FRAMING, processes=1, threads=1, timeout=5) as crew:
        crew.submit(0, photo)
        with pytest.raises(RuntimeError, match=r"could not be started: it ended by itself \(exit code 3\)"):
            crew.next()


class Hangs:
    """Decodes all but one."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over

    def __call__(self, photo: Photo) -> str:
        if photo == "hangs":
            self._over.wait()
        return f"seen {photo}"

    def abandon(self) -> None: ...

    def close(self) -> None: ...


def test_a_thread_that_hangs_is_left_behind() -> None:
    over = threading.Event()
    with Crew(lambda: Hangs(over), 1, 0.3) as crew:
        for number, photo in enumerate(("a", "hangs", "b", "hangs", "c")):
            crew.submit(number, photo)
        found = [crew.next() for _ in range(3)]
        over.set()  # what comes late is not told twice
        found += [crew.next() for _ in range(2)]
    assert [(one.number, one.pixels) for one in found[:3]] == [
        (0, "seen a"),
        (1, "given up: decoding it took longer than 0.3 s"),
        (2, "seen b"),
    ]
    assert sorted(one.number for one in found) == [0, 1, 2, 3, 4]


def test_a_worker_imports_what_decoding_needs() -> None:
    code = (
        "import sys, vision_ft.runtime.worker; print([m for m in ('onnxruntime', 'rich', 'torch') if m in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
