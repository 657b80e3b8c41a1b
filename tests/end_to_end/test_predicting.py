"""Predicting at length, as a user does: real processes, real signals, real kills."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("processes are looked at through what Linux tells of them", allow_module_level=True)

import vision_ft
from tests.conftest import Command, environment, fails_with
from tests.harm import KINDS, harmed, originals
from tests.hostile import HOSTILE, LARGEST
from vision_ft.cli import main
from vision_ft.imaging import decode

Start = Callable[..., "subprocess.Popen[str]"]
GIVEN_UP = "given up: decoding it took longer than"


@pytest.fixture(scope="module")
def photos(drawings: Path) -> list[str]:
    return sorted(map(str, drawings.rglob("*.jpg")))


@pytest.fixture
def start(small_bundle: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a prediction of what a list names."""
    started: list[subprocess.Popen[str]] = []

    def begin(paths: list[str], *options: str | Path, **how: int) -> subprocess.Popen[str]:
        listed = tmp_path / "list"
        listed.write_bytes(b"".join(os.fsencode(path) + b"\n" for path in paths))
        with listed.open() as stdin:
            process = subprocess.Popen(
                [sys.executable, "-m", "vision_ft", "predict", str(small_bundle), "-", *map(str, options)],
                stdin=stdin, stdout=how.get("stdout", subprocess.PIPE), stderr=how.get("stderr", subprocess.PIPE),
                text=True, cwd=tmp_path, env=environment(),
            )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[list[dict[str, object]], str]:
    """The lines that it printed, and what else it said."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return [json.loads(line) for line in out.splitlines()], errors


def children(process: subprocess.Popen[str]) -> list[int]:
    """The processes that its threads started, and that are still there."""
    tasks = Path(f"/proc/{process.pid}/task")
    try:
        return [int(number) for task in tasks.iterdir() for number in (task / "children").read_text().split()]
    except OSError:
        return []


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_killed_at_random_moments_it_loses_nothing_and_says_nothing_twice(
    suffix: str, start: Start, photos: list[str], tmp_path: Path
) -> None:
    out = tmp_path / f"out.{suffix}"
    # More than one of each, and some that cannot be read.
    paths = [*photos, "none.jpg", os.fsdecode(b'\xff,".jpg')] * 30
    chance, kills = random.Random(suffix), 0
    options = ("--out", out, "--workers", "1", "--resume")
    for _ in range(60):
        process = start(paths, *options)
        # Not before it writes: starting takes the longest.
        before = size_of(out)
        until(lambda process=process, before=before: process.poll() is not None or size_of(out) > before)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break
        kills += 1
        if chance.random() < 0.5:  # a machine may lose the end of what was written
            os.truncate(out, max(0, out.stat().st_size - chance.randrange(200)))
    assert process.returncode == 3
    assert kills >= 3
    if suffix == "csv":
        with out.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [row["path"] for row in rows] == paths
    assert {row["path"] for row in rows if row["error"]} == set(paths[len(photos) : len(photos) + 2])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_end_it_leaves_whole_lines_and_no_process(
    number: int, code: int, start: Start, photos: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    process = start(photos * 300, "--out", out, "--workers", "2")
    until(lambda: out.exists() and out.stat().st_size > 10_000)
    workers = children(process)
    assert len(workers) == 2
    process.send_signal(number)
    assert process.wait(timeout=10) == code
    assert out.read_bytes().endswith(b"\n")
    assert all("verdict" in json.loads(line) for line in out.read_bytes().splitlines())
    for worker in workers:
        assert not Path(f"/proc/{worker}").exists()


def test_a_reader_that_goes_away_is_no_error(small_bundle: Path, drawings: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        f'"{sys.executable}" -m vision_ft predict "{small_bundle}" "{drawings}" --workers 1 | head -n 2; '
        'echo "${PIPESTATUS[0]}"',
        shell=True, executable="/bin/bash", cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, second, code = done.stdout.splitlines()
    assert json.loads(first)["path"] != json.loads(second)["path"]
    assert (code, done.stderr) == ("0", "")


def test_killed_itself_it_leaves_no_process_behind(start: Start, photos: list[str], tmp_path: Path) -> None:
    process = start(photos * 300, "--out", tmp_path / "out.jsonl", "--workers", "2")
    until(lambda: len(children(process)) == 2 and (tmp_path / "out.jsonl").stat().st_size > 1000)
    workers = children(process)
    process.kill()
    process.communicate()
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 5)


def test_workers_that_are_killed_cost_nothing(start: Start, photos: list[str], tmp_path: Path) -> None:
    paths, out = photos * 30, tmp_path / "out.jsonl"
    process = start(paths, "--out", out, "--workers", "2")
    killed: set[int] = set()
    while process.poll() is None and len(killed) < 6:
        for worker in children(process):
            if worker not in killed and out.exists() and out.stat().st_size > 10_000 * len(killed):
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
        time.sleep(0.01)
    ended(process)
    assert len(killed) >= 2
    lines = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [line["path"] for line in lines] == paths
    assert not [line for line in lines if line["error"]]


def test_a_worker_that_hangs_costs_one_photo(start: Start, photos: list[str], tmp_path: Path) -> None:
    paths, out = photos * 10, tmp_path / "out.jsonl"
    process = start(paths, "--out", out, "--workers", "2", "--timeout", "1.5")
    until(lambda: out.exists() and out.stat().st_size > 5000)
    stuck = children(process)[0]
    os.kill(stuck, signal.SIGSTOP)
    ended(process, 3)
    lines = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [line["path"] for line in lines] == paths
    assert [line["error"] for line in lines if line["error"]] == [f"{GIVEN_UP} 1.5 s"]
    assert not Path(f"/proc/{stuck}").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_photo_that_takes_too_long_is_given_up(workers: str, start: Start, photos: list[str], tmp_path: Path) -> None:
    large = tmp_path / "large.webp"
    large.write_bytes(LARGEST["webp largest, clear"]())
    began = time.process_time()
    decode(large)
    limit = min(0.3, (time.process_time() - began) / 3)
    process = start([photos[0], str(large), *photos[1:9]], "--workers", workers, "--timeout", f"{limit:.2f}")
    lines, _ = ended(process, 3)
    assert [line["error"] is None for line in lines] == [True, False, *[True] * 8]
    assert str(lines[1]["error"]).startswith(GIVEN_UP)


def test_every_hostile_and_harmed_file_has_a_line(start: Start, photos: list[str], tmp_path: Path) -> None:
    names = []
    for number, make in enumerate(HOSTILE.values()):
        names.append(tmp_path / f"hostile{number}")
        names[-1].write_bytes(make())
    images = [decode(path) for path in photos[:3]]
    for kind in KINDS:
        sound = originals(kind, images)
        for number in range(4):
            names.append(tmp_path / f"{kind}{number}")
            names[-1].write_bytes(harmed(sound, 7, kind, number))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    odd = [str(tmp_path / name) for name in ("folder", "pipe", "empty", "none", "x" * 300)]
    paths = [*map(str, names), *odd, "/dev/zero", "https://example.org/cat.jpg", photos[0]]
    lines, errors = ended(start(paths, "--workers", "2", "--timeout", "20"), 3)
    assert errors == ""
    assert [line["path"] for line in lines] == paths
    assert lines[-1]["error"] is None
    assert "nothing is fetched" in str(lines[-2]["error"])
    assert all(line["error"] for line in lines[len(names) : -1])
    for line in lines:
        assert (line["verdict"] is None) == (line["probabilities"] is None) == (line["error"] is not None)
    beyond = [line["error"] for line, name in zip(lines, HOSTILE, strict=False) if "beyond" in name]
    assert all(beyond)
    assert not [line for line in lines if GIVEN_UP in str(line["error"])]


def test_memory_does_not_grow_with_the_number_of_photos(start: Start, photos: list[str], tmp_path: Path) -> None:
    def peak(count: int) -> int:
        process = start((photos * (count // len(photos) + 1))[:count], "--out", tmp_path / f"{count}.csv")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss

    assert peak(8000) - peak(800) < 6_000  # kB


def test_as_they_come_and_in_order_are_the_same_answers(start: Start, photos: list[str]) -> None:
    ordered, _ = ended(start(photos, "--workers", "2"))
    as_they_come, _ = ended(start(photos, "--workers", "2", "--unordered"))
    in_threads, _ = ended(start(photos, "--workers", "0"))
    assert [line["path"] for line in ordered] == [line["path"] for line in in_threads] == photos
    by_path = {line["path"]: line["confidence"] for line in as_they_come}
    assert len(as_they_come) == len(by_path) == len(photos)
    for one, other in zip(ordered, in_threads, strict=True):
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-5)
        assert one["confidence"] == pytest.approx(by_path[one["path"]], abs=1e-5)
    assert len({line["confidence"] for line in ordered}) > 70, "each photo's answer is its own"


def test_an_archive_is_read_in_place(small_bundle: Path, photos: list[str], command: Command, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as packed:
        for number, path in enumerate(photos[:5]):
            packed.write(path, f"in/{number}.jpg")
        packed.writestr("in/6.jpg", b"no photo")
    before = sorted(tmp_path.iterdir())
    done = command("predict", small_bundle, "some.zip", photos[0], cwd=tmp_path, code=3)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["path"] for line in lines] == [*(f"some.zip/in/{n}.jpg" for n in (0, 1, 2, 3, 4, 6)), photos[0]]
    assert lines[0]["confidence"] == pytest.approx(lines[-1]["confidence"], abs=1e-5)
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_there_is_kept_and_what_is_wrong_is_said(
    small_bundle: Path, photos: list[str], command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.jsonl").write_text("mine\n")
    for options, words in (
        (("--out", "mine.jsonl"), "is there already and is not written over"),
        (("--out", "mine.jsonl", "--resume"), "record 1"),
        (("--out", "a.txt"), "must end in .jsonl, .csv, .parquet"),
        (("--resume",), "name it by --out"),
        (("--out", "a.csv", "--format", "table"), "--format is for standard output"),
        (("https://example.org/cat.jpg",), "nothing is fetched"),
    ):
        fails_with(command("predict", small_bundle, photos[0], *options, cwd=tmp_path, code=2), words)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]
    assert (tmp_path / "mine.jsonl").read_text() == "mine\n"


def test_one_photo_starts_no_process_and_answers_at_once(
    small_bundle: Path, photos: list[str], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(subprocess, "Popen", None)
    assert main(["predict", str(small_bundle), *photos[:64]]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 64
    with pytest.raises(TypeError):
        main(["predict", str(small_bundle), *photos[:65]])
    monkeypatch.undo()

    def seconds() -> float:
        began = time.perf_counter()
        command("predict", small_bundle, photos[0], cwd=tmp_path)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(4)) < 0.8


def test_progress_is_for_a_terminal(start: Start, photos: list[str], tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    process = start([*photos * 20, "none.jpg"], "--out", tmp_path / "out.jsonl", stderr=terminal)
    os.close(terminal)
    seen = b""
    while True:
        try:
            some = os.read(controller, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not some:
            break
        seen += some
    assert process.wait() == 3
    assert b"photos/s" in seen
    assert b"cannot be read" in seen


def test_a_script_may_use_processes_without_asking_whether_it_is_main(
    small_bundle: Path, photos: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import vision_ft\n"
        f"model = vision_ft.load({str(small_bundle)!r}, lanes=2)\n"
        f"photos = {photos!r}\n"
        "print([one.path for one in model.stream(photos, processes=2, timeout=30)] == photos)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_predictor_is_one_for_many_threads(small_bundle: Path, photos: list[str]) -> None:
    model = vision_ft.load(small_bundle)
    expected = {path: one.confidence for path, one in zip(photos, model.predict(photos), strict=True)}
    wrong: list[str] = []

    def work(seed: int) -> None:
        mine = random.Random(seed).sample(photos, 20)
        for one in (*model.predict(mine), *model.stream(mine, 3, ordered=False)):
            if one.confidence != pytest.approx(expected[str(one.path)], abs=1e-5):
                wrong.append(str(one.path))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
