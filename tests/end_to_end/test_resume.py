"""A run that is killed at any moment and resumed ends, bit for bit, where one ends that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import Command, fails_with
from tests.killing import PLACES
from vision_ft.model.checkpoint import read_checkpoint

EPOCHS, BATCHES = 5, 5
PHASES = (
    "[{epochs: 1, stages: 1, lr: 0.003}, {epochs: 2, stages: 3, lr: 0.001, warmup: 0.2, final_lr: 0.1}, "
    "{epochs: 2, stages: all, lr: 0.0003, layer_decay: 0.8}]"
)
Fit = Callable[..., list[str]]


@pytest.fixture(scope="module")
def fit(place: Path, drawings: Path) -> Fit:
    """The command line of a run of seconds with all that is random: views, MixUp, CutMix, dropout, loader processes."""

    def args(name: str, *more: object) -> list[str]:
        return [
            "fit", "--data.root", str(drawings), "--run.name", name, "--model.image_size", "32",
            "--data.batch_size", "12", "--data.num_workers", "1", "--data.augment", "strong",
            "--model.mixup", "0.2", "--model.cutmix", "1.0", "--model.dropout", "0.3", "--model.drop_path", "0.2",
            "--model.label_smoothing", "0.1", "--unfreeze.batch_norm", "train", "--unfreeze.phases", PHASES,
            "--run.save_every_steps", "2", "--trainer.gradient_clip_val", "1.0", "--trainer.accelerator", "cpu",
            "--seed_everything", "3", *map(str, more),
        ]  # fmt: skip

    return args


@pytest.fixture(scope="module")
def whole(place: Path, fit: Fit, command: Command) -> Path:
    command(*fit("whole"), cwd=place)
    return place / "runs/whole/latest"


def last(place: Path, name: str) -> Path:
    return place / "runs" / name / "latest/checkpoints/last.ckpt"


def resume(place: Path, name: str) -> list[str]:
    """Nothing to resume from is there if the run was killed before it began."""
    return ["--ckpt_path", str(last(place, name))] if last(place, name).exists() else []


def callback(kind: str, **settings: object) -> list[str]:
    return ["--trainer.callbacks", json.dumps([{"class_path": f"tests.killing.{kind}", "init_args": settings}])]


def content(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint by its path: weights, the optimizer's state, the average, the scores."""
    found: dict[str, torch.Tensor] = {}

    def walk(value: object, at: str) -> None:
        if isinstance(value, torch.Tensor):
            found[at] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{at}/{key}")
        elif isinstance(value, (list, tuple)):
            for key, inner in enumerate(value):
                walk(inner, f"{at}/{key}")

    walk(torch.load(path, map_location="cpu", weights_only=True), "")
    return found


def is_the_same(run: Path, whole: Path) -> None:
    for name in ("last.ckpt", "best.ckpt", "head.ckpt"):
        ours, theirs = (content(folder / "checkpoints" / name) for folder in (run, whole))
        assert ours.keys() == theirs.keys()
        assert len(ours) > 100
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == [], name
    assert (run / "candidates.csv").read_text() == (whole / "candidates.csv").read_text()


def points() -> list[tuple[int, int, str]]:
    """Twelve moments over all phases: every place twice, each at a random step, in the order of time."""
    draw = random.Random(int(os.environ.get("VISION_FT_KILL_SEED", "0")))
    chosen = [(draw.randrange(EPOCHS), draw.randrange(BATCHES), where) for where in PLACES * 2]
    # In the last epoch there is a step to come in which the file is written.
    return sorted((epoch, min(batch, 2), where) for epoch, batch, where in chosen)


def test_killed_at_twelve_moments_it_ends_as_if_nothing_had_been(
    whole: Path, place: Path, fit: Fit, command: Command
) -> None:
    """One run, killed by SIGKILL twelve times and resumed each time from what it left."""
    for epoch, batch, where in points():
        kill = callback("KillAt", epoch=epoch, batch=batch, place=where)
        done = command(*fit("killed", *kill, *resume(place, "killed")), cwd=place, code=None)
        assert done.returncode == -signal.SIGKILL, (epoch, batch, where, done.stderr)
        for path in place.glob("runs/killed/*/checkpoints/*.ckpt"):
            read_checkpoint(path)
    done = command(*fit("killed", *resume(place, "killed")), cwd=place)
    assert "Warning" not in done.stderr
    assert "warn" not in done.stderr
    is_the_same(place / "runs/killed/latest", whole)


def test_a_run_of_so_many_steps_is_resumed_to_its_last_step(place: Path, fit: Fit, command: Command) -> None:
    """Lightning's own count of steps leaves out an epoch when it goes on from the end of another."""
    steps = ["--trainer.max_steps", "12", "--run.save_every_steps", "1000"]
    command(*fit("steps", *steps), cwd=place)
    kill = callback("KillAt", epoch=1, batch=2, place="after the step")
    assert command(*fit("some steps", *steps, *kill), cwd=place, code=None).returncode == -signal.SIGKILL
    command(*fit("some steps", *steps, *resume(place, "some steps")), cwd=place)
    assert torch.load(last(place, "some steps"), weights_only=True)["global_step"] == 12
    is_the_same(place / "runs/some steps/latest", place / "runs/steps/latest")


@pytest.mark.parametrize(
    ("number", "code", "epoch", "batch"),
    [(signal.SIGTERM, 143, 1, 2), (signal.SIGINT, 130, 3, BATCHES - 1), (signal.SIGTERM, 143, EPOCHS - 1, -1)],
    ids=["SIGTERM in a step", "Ctrl-C in the last step of an epoch", "SIGTERM in the last validation"],
)
def test_told_to_stop_it_writes_a_checkpoint_within_the_step(
    number: int, code: int, epoch: int, batch: int, whole: Path, place: Path, fit: Fit, command: Command
) -> None:
    name, note = f"told{number}{epoch}", place / f"note{number}{epoch}"
    ask = callback("SignalAt", number=int(number), epoch=epoch, batch=batch, note=str(note))
    # Checkpoints of its own come far too seldom to help.
    done = command(*fit(name, *ask, "--run.save_every_steps", "1000"), cwd=place, code=None)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    steps = (epoch + 1) * BATCHES if batch == -1 else epoch * BATCHES + batch + 1
    assert torch.load(last(place, name), weights_only=True)["global_step"] == steps
    if batch != -1:
        assert note.read_text() == "in the step"
    command(*fit(name, *resume(place, name)), cwd=place)
    is_the_same(place / "runs" / name / "latest", whole)


def test_a_damaged_checkpoint_is_refused(whole: Path, place: Path, fit: Fit, command: Command) -> None:
    """Also by one bit in the middle of a weight, which PyTorch itself would read without a word."""
    good = (whole / "checkpoints/last.ckpt").read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for name, data in (("cut.ckpt", good[: len(good) // 2]), ("flipped.ckpt", bytes(flipped))):
        (place / name).write_bytes(data)
        done = command(*fit("damaged", "--ckpt_path", place / name), cwd=place, code=None)
        fails_with(done, name, "damaged")
    assert not (place / "runs/damaged").exists()


def test_what_holds_no_state_of_the_training_is_not_resumed(
    whole: Path, place: Path, fit: Fit, command: Command
) -> None:
    done = command(*fit("best", "--ckpt_path", whole / "checkpoints/best.ckpt"), cwd=place, code=None)
    fails_with(done, "nothing to go on training from", "last.ckpt", "bundle:PATH")
