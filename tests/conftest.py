"""What several test files need."""

from __future__ import annotations

import os

if (worker_count := os.environ.get("PYTEST_XDIST_WORKER_COUNT")) is not None:
    # Said before torch is imported: tests that run side by side would only get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(worker_count))))

import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision_ft.supply.draw import draw_set

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"

# The tests' own, empty at first: what they see must not hang on who ran them before.
if "PYTEST_XDIST_WORKER" not in os.environ or "VISION_FT_CACHE" not in os.environ:
    os.environ["VISION_FT_CACHE"] = tempfile.mkdtemp(prefix="vision_ft_cache_")

OFFLINE = REPOSITORY / "tests/offline"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """The variables for a process of its own: it finds the package, and stays off the network."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (OFFLINE, REPOSITORY))), **more}


def shared(name: str) -> Path:
    """A folder of real photos that lie beside the repository, or a skipped test where they do not."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the photos of {name} are not on this machine; they belong in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def cats_dogs() -> Path:
    return shared("cats_dogs")


@pytest.fixture(scope="session")
def not_pets() -> Path:
    return shared("not_pets")


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn set: 40 cats and 40 dogs of 64 pixels."""
    folder = tmp_path_factory.mktemp("drawings") / "pets"
    draw_set(folder, count=40, size=64)
    return folder


@pytest.fixture(scope="session")
def small_bundle(drawings: Path, command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model's bundle, fitted and exported as a user does, at 32 pixels; it knows little, but answers fast."""
    place = tmp_path_factory.mktemp("small")
    command(
        "fit", "--data.root", drawings, "--run.name", "small", "--model.backbone", "test_resnet", "--model.weights",
        "random:", "--model.image_size", "32", "--data.num_workers", "0", "--unfreeze.batch_norm", "train",
        "--unfreeze.phases", "[{epochs: 4, stages: all, lr: 0.01}]", "--ema.decay", "0.5", cwd=place,
    )  # fmt: skip
    return place / "runs/small/latest/bundle"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for all tests of a file; gone with them, for their runs take hundreds of megabytes."""
    folder = tmp_path_factory.mktemp("place")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs ``python -m vision_ft`` as a user does, in a process of its own."""

    def run(
        *args: str | Path, cwd: Path, code: int | None = 0, stdin: str | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "vision_ft", *map(str, args)],
            cwd=cwd,
            env=environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[dict[str, int]], Path]:
    """Makes a folder with some plain photos in each of some subfolders."""

    def make(counts: dict[str, int], size: tuple[int, int] = (40, 32)) -> Path:
        root = tmp_path / "photos"
        rng = np.random.default_rng(0)
        for name, count in counts.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / f"{index}.png")
        return root

    return make


@pytest.fixture(scope="session")
def _network_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every attempt to reach out is written down, in this process as in those that it starts."""
    log = tmp_path_factory.mktemp("network") / "log"
    log.touch()
    os.environ["VISION_FT_NETWORK_LOG"] = str(log)
    runpy.run_path(str(OFFLINE / "sitecustomize.py"))
    return log


@pytest.fixture(autouse=True)
def _off_the_network(request: pytest.FixtureRequest, _network_log: Path) -> Iterator[None]:
    """No test reaches the network, nor this machine's own address unless VISION_FT_LOOPBACK is set.

    What tries is told that there is none; a test in which that is meant is marked ``network_refused``.
    """
    before = _network_log.stat().st_size
    yield
    tried = _network_log.read_text()[before:]
    if request.node.get_closest_marker("network_refused"):
        assert tried, "marked network_refused, but nothing reached out"
    else:
        assert not tried, f"reached out to the network:\n{tried}"


@pytest.fixture(autouse=True)
def _own_run_folder() -> Iterator[None]:
    """Every run that a test starts in this process is a run of its own."""
    yield
    if "vision_ft.train.run" in sys.modules:
        sys.modules["vision_ft.train.run"].forget_run()


def fails_with(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """A user's mistake was answered with exit code 2, no traceback, and these words."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def lines(done: subprocess.CompletedProcess[str]) -> Sequence[str]:
    return done.stdout.splitlines()
