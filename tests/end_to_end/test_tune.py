"""A search of settings, as a user runs it: to its end, killed in the middle, and begun again."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Command, environment, fails_with
from vision_ft.cli import main

PHASES = "[{epochs: 3, stages: 3, lr: 0.001}]"
TRIALS = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tune")


def tune(drawings: Path, out: str, *more: str) -> list[str]:
    return [
        "tune", "--out", out, "--data.root", str(drawings), "--model.image_size", "32", "--data.batch_size", "8",
        "--data.num_workers", "0", "--unfreeze.phases", PHASES, "--trainer.accelerator", "cpu", *more,
    ]  # fmt: skip


def table(place: Path, out: str) -> list[dict[str, str]]:
    with (place / out / "trials.csv").open() as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(place: Path, drawings: Path, command: Command) -> subprocess.CompletedProcess[str]:
    return command(*tune(drawings, "whole", "--trials", str(TRIALS)), cwd=place)


def test_a_search_says_what_it_found(whole: subprocess.CompletedProcess[str], place: Path) -> None:
    rows = table(place, "whole")
    assert len(rows) == TRIALS
    # The settings as given come first.
    assert (rows[0]["lr"], rows[0]["stages"], rows[0]["epochs"], rows[0]["augment"]) == ("0.001", "3", "3", "medium")
    best = min((row for row in rows if row["log_loss"]), key=lambda row: float(row["log_loss"]))
    assert f"lowest: trial {best['trial']}: val loss {float(best['log_loss']):.4f}" in whole.stdout
    assert "flatters itself" in whole.stdout
    assert "next: vision-ft fit --config whole/best.yaml" in whole.stdout
    # Weights of the best alone are kept.
    kept = [
        path.parts[-4] for path in place.glob("whole/trials/*/*/checkpoints/best.ckpt") if "latest" not in path.parts
    ]
    assert kept == [f"{int(best['trial']):04d}"]


def test_the_winner_fits_to_what_it_was_found_with(
    whole: subprocess.CompletedProcess[str], place: Path, command: Command
) -> None:
    command("fit", "--config", "whole/best.yaml", "--run.name", "winner", cwd=place)
    lowest = min(float(row["log_loss"]) for row in table(place, "whole") if row["log_loss"])
    with (place / "runs/winner/latest/candidates.csv").open() as file:
        scores = {row["weights"]: float(row["log_loss"]) for row in csv.DictReader(file)}
    trained = {name: loss for name, loss in scores.items() if name not in ("pretrained head", "head alone")}
    assert min(trained.values()) == pytest.approx(lowest, abs=1e-6)


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    whole: subprocess.CompletedProcess[str], place: Path, drawings: Path, command: Command
) -> None:
    args = [sys.executable, "-m", "vision_ft", *tune(drawings, "part", "--trials", str(TRIALS))]
    running = subprocess.Popen(args, cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # In the middle of the fourth.
    deadline = time.monotonic() + 300
    while not list((place / "part").glob("trials/0004/*/checkpoints/last.ckpt")):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # While it runs, the folder is its own.
    fails_with(command(*tune(drawings, "part"), cwd=place, code=None), "another process is searching in 'part'")
    if running.poll() is None:
        running.send_signal(signal.SIGKILL)
    running.communicate()
    done = command(*tune(drawings, "part", "--trials", str(TRIALS)), cwd=place)
    assert "going on after " in done.stderr
    assert table(place, "part") == table(place, "whole")
    assert (place / "part/best.yaml").read_text() == (place / "whole/best.yaml").read_text()


def test_a_search_that_is_done_says_so_again_and_can_be_longer(
    whole: subprocess.CompletedProcess[str], place: Path, drawings: Path, command: Command
) -> None:
    shutil.copytree(place / "whole", place / "again", symlinks=True)
    done = command(*tune(drawings, "again", "--trials", str(TRIALS)), cwd=place)
    assert f"{TRIALS} trials, of which " in done.stdout
    command(*tune(drawings, "again", "--trials", str(TRIALS + 1)), cwd=place)
    assert table(place, "again")[:TRIALS] == table(place, "whole")
    assert len(table(place, "again")) == TRIALS + 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "whole", "--model.weight_decay", "0.5"], ["begun with other settings: model.weight_decay is 0.5"]),
        (["--out", "whole", "--search", "augment"], ["begun with other settings: --search"]),
        (["--out", "a file"], ["'a file' is there already and holds no search"]),
        (["--out", "full"], ["'full' is there already and holds no search"]),
        (["--out", "broken"], ["study.db", "cannot be used"]),
        (["--unfreeze.phases", "[]"], ["unfreeze.phases is empty"]),
        (["--trials", "0"], ["--trials is 0, must be 1 or more"]),
        (["--search", "everything"], ["invalid choice: 'everything'"]),
        (["--data.augmnt", "none"], ["no setting --data.augmnt"]),
    ],
)
def test_what_cannot_be_searched(
    more: list[str], words: list[str], whole: subprocess.CompletedProcess[str], place: Path, drawings: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(place)
    (place / "a file").write_text("mine")
    for name, file in (("full", "thesis.txt"), ("broken", "study.db")):
        (place / name).mkdir(exist_ok=True)
        (place / name / file).write_text("mine")
    assert main(tune(drawings, "new", *more)) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert not (place / "new").exists()
    assert (place / "full/thesis.txt").read_text() == "mine"
    assert (place / "broken/study.db").read_text() == "mine"
