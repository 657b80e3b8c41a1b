"""Memory that is too short for a batch; with an error as PyTorch raises it, for this machine has no GPU to fill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import Command, fails_with
from vision_ft.model.checkpoint import read_checkpoint


def fit(drawings: Path, name: str, *more: str) -> list[str]:
    """Seven steps an epoch, and in float64, so that the order of sums is of next to no account."""
    phases = "[{epochs: 1, stages: 1, lr: 0.003}, {epochs: 2, stages: 3, lr: 0.001, warmup: 0.2, final_lr: 0.1}]"
    return [
        "fit", "--data.root", str(drawings), "--run.name", name, "--model.image_size", "32", "--data.batch_size", "8",
        "--data.num_workers", "0", "--unfreeze.phases", phases, "--trainer.accelerator", "cpu",
        "--trainer.precision", "64-true", "--run.save_every_steps", "2", *more,
    ]  # fmt: skip


def short(photos: int, epoch: int, batch: int = 0) -> list[str]:
    settings = {"photos": photos, "epoch": epoch, "batch": batch}
    return ["--trainer.callbacks", json.dumps([{"class_path": "tests.killing.ShortOfMemory", "init_args": settings}])]


def weights(place: Path, name: str) -> dict[str, torch.Tensor]:
    return read_checkpoint(place / f"runs/{name}/latest/checkpoints/last.ckpt")[1]


@pytest.fixture(scope="module")
def ample(place: Path, drawings: Path, command: Command) -> dict[str, torch.Tensor]:
    command(*fit(drawings, "ample"), cwd=place)
    return weights(place, "ample")


@pytest.mark.parametrize(
    ("photos", "epoch", "batch", "said"),
    [
        (4, 1, 0, ["going on with 4 photos a batch, of which 2 make a step"]),
        (2, 1, 4, ["going on with 4 photos a batch, of which 2", "going on with 2 photos a batch, of which 4"]),
    ],
    ids=["where a phase begins", "in the middle of an epoch, and still after half"],
)
def test_it_goes_on_with_smaller_batches_to_the_same_weights(
    photos: int, epoch: int, batch: int, said: list[str], ample: dict[str, torch.Tensor], place: Path,
    drawings: Path, command: Command,
) -> None:  # fmt: skip
    name = f"short{batch}"
    done = command(*fit(drawings, name, *short(photos, epoch, batch)), cwd=place)
    assert done.stderr.count("out of memory: ") == len(said)
    for words in said:
        assert words in done.stderr
    ours = weights(place, name)
    assert max(float((ours[key].double() - ample[key].double()).abs().max()) for key in ample) < 1e-5
    assert (place / f"runs/{name}/latest/bundle/model.onnx").is_file()


def test_where_not_even_one_photo_fits_it_says_so(place: Path, drawings: Path, command: Command) -> None:
    done = command(*fit(drawings, "none", "--data.batch_size", "1", *short(0, 0)), cwd=place, code=None)
    fails_with(done, "out of memory", "model.image_size")


def test_a_batch_in_the_middle_of_which_it_would_resume(place: Path, drawings: Path, command: Command) -> None:
    kill = [{"class_path": "tests.killing.KillAt", "init_args": {"epoch": 1, "batch": 3, "place": "after the step"}}]
    command(*fit(drawings, "killed", "--trainer.callbacks", json.dumps(kill)), cwd=place, code=-9)
    last = str(place / "runs/killed/latest/checkpoints/last.ckpt")
    done = command(*fit(drawings, "killed", "--ckpt_path", last, "--data.batch_size", "5"), cwd=place, code=None)
    fails_with(done, "data.batch_size is 5, and was 8", "a number that divides it")
