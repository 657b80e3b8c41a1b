"""A search of settings, as a user runs it: to its end, killed in the middle, and begun again."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, environment, fails_with
from vision_ft.cli import main
from vision_ft.commands import tune as tuning
from vision_ft.errors import ConfigError
from vision_ft.train import study

PHASES = "[{epochs: 3, stages: 3, lr: 0.001}]"
TRIALS = 8


def tune(drawings: Path, out: str, *more: str) -> list[str]:
    return [
        "tune", "--out", out, "--data.root", str(drawings), "--model.backbone", "test_resnet", "--model.weights",
        "random:", "--model.image_size", "32", "--data.batch_size", "8", "--data.num_workers", "0",
        "--unfreeze.phases", PHASES, "--trainer.accelerator", "cpu", *more,
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
        (["--search", "rates", "--epochs", "2"], ["--epochs is for a search of phases"]),
        (["--trials", "0", "--minutes", "0"], ["--trials is 0", "--minutes is 0"]),
        (["--trainer.devices", "2"], ["trainer.devices is 2; a search uses one device"]),
        (["--trainer.num_nodes", "2"], ["trainer.num_nodes is 2"]),
        (["--trainer.fast_dev_run", "true"], ["trainer.fast_dev_run"]),
        (["--out", "somebody's"], ["is there already and holds no search"]),
        (["--out", "n" * 300], ["cannot hold a search"]),
        (["--trainer.max_epochs", "0"], ["no trial trained anything"]),
        (["--minutes", "1e-12"], ["no trial was begun in the time given"]),
        (["--data.augmnt", "none"], ["no setting --data.augmnt"]),
    ],
)
def test_what_cannot_be_searched(
    more: list[str], words: list[str], whole: subprocess.CompletedProcess[str], place: Path, drawings: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(place)
    (place / "a file").write_text("mine")
    for name, file in (("full", "thesis.txt"), ("broken", "study.db"), ("broken", ".vision-ft-search")):
        (place / name).mkdir(exist_ok=True)
        (place / name / file).write_text("mine")
    # A search of Optuna's own, with what lies beside it.
    (place / "somebody's/trials/0001").mkdir(parents=True, exist_ok=True)
    (place / "somebody's/study.db").write_text("theirs")
    assert main(tune(drawings, "new", *more)) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    # Nothing is left of a search that did not begin.
    assert not (place / "new/study.db").exists() or "no trial" in said
    shutil.rmtree(place / "new", ignore_errors=True)
    assert (place / "somebody's/study.db").read_text() == "theirs"
    assert (place / "somebody's/trials/0001").is_dir()
    assert (place / "full/thesis.txt").read_text() == "mine"
    assert (place / "broken/study.db").read_text() == "mine"


def run(drawings: Path, out: str, *more: str) -> int:
    return main(
        tune(drawings, out, "--search", "rates", "--unfreeze.phases", "[{epochs: 1, stages: 2, lr: 0.001}]", *more)
    )


def test_a_folder_of_an_odd_name(place: Path, drawings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert run(drawings, "a?b #c", "--trials", "1") == 0
    assert not (place / "a").exists()
    # Somewhere else the photos are the same, and how they are read is of no account.
    moved = drawings / ".." / drawings.name
    assert run(moved, "a?b #c", "--trials", "2", "--data.num_workers", "1") == 0
    assert len(table(place, "a?b #c")) == 2


def test_an_empty_folder_of_the_users_stays(place: Path, drawings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (place / "empty").mkdir()
    assert run(drawings, "empty", "--data.root", "nowhere") == 2
    assert run(drawings, "x/y/z", "--data.root", "nowhere") == 2
    assert list((place / "empty").iterdir()) == []
    assert not (place / "x").exists()


def test_what_is_missing_of_a_finished_search_is_made_anew(
    place: Path, drawings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert run(drawings, "done", "--trials", "1") == 0
    for name in ("best.yaml", "trials.csv"):
        (place / "done" / name).unlink()
    assert run(drawings, "done", "--trials", "1") == 0
    assert (place / "done/best.yaml").is_file()
    assert len(table(place, "done")) == 1


def test_unreadable_photos_are_in_the_exit_code(
    place: Path, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    photos = Path(shutil.copytree(drawings, tmp_path / "photos"))
    one = photos / "cat/cat.0.jpg"
    one.write_bytes(one.read_bytes()[:500])
    assert run(photos, "unreadable", "--trials", "1") == 3


def test_settings_that_cannot_be_trained_with_do_not_end_a_search(
    place: Path, drawings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    real, calls = tuning.within_memory, []

    def too_large(args: list[str], fit: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise ConfigError("out of memory with a single photo a batch")
        return real(args, fit)

    monkeypatch.setattr(tuning, "within_memory", too_large)
    assert run(drawings, "large", "--trials", "3") == 0
    assert "trial 2 could not be run: out of memory" in capsys.readouterr().err
    assert [bool(row["log_loss"]) for row in table(place, "large")] == [True, False, True]


def test_a_signal_after_a_trial_was_cut_short_ends_the_search(
    place: Path, drawings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    pruned, tidy = study.Study.report, study.Study._tidy

    def cut(self: Any, trial: Any, epochs: int, loss: float, more: bool) -> None:
        pruned(self, trial, epochs, loss, more)
        if trial.user_attrs["number"] == 2:
            raise self._optuna.TrialPruned

    def told(self: Any) -> None:
        tidy(self)
        if len(self.tried) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(study.Study, "report", cut)
    monkeypatch.setattr(study.Study, "_tidy", told)
    assert run(drawings, "told", "--trials", "2") == 143
    assert len(table(place, "told")) == 2
