"""One run of two processes, however they are started, against the same run of one."""

from __future__ import annotations

import csv
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import environment
from vision_ft.model.checkpoint import read_checkpoint

# 56 photos to learn from, sixteen a step: four steps an epoch, 24 in all, and the unfreezing after eight.
PHASES = "[{epochs: 2, stages: 1, lr: 0.003}, {epochs: 4, stages: 3, lr: 0.001, warmup: 0.2, final_lr: 0.1}]"
TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
Start = Callable[[list[str], Path], list[subprocess.Popen[str]]]


def fit(drawings: Path, name: str, batch: int) -> list[str]:
    """In float64: Adam makes large differences of small ones, which the order of a sum has on 32 bits."""
    return [
        "fit", "--data.root", str(drawings), "--run.name", name, "--model.image_size", "32", "--data.batch_size",
        str(batch), "--data.num_workers", "0", "--unfreeze.phases", PHASES, "--trainer.accelerator", "cpu",
        "--model.label_smoothing", "0.1", "--trainer.gradient_clip_val", "1.0", "--trainer.precision", "64-true",
    ]  # fmt: skip


def process(args: list[str], place: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *args],
        cwd=place,
        env=environment(OMP_NUM_THREADS="1", **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alone(args: list[str], place: Path) -> list[subprocess.Popen[str]]:
    return [process(["vision_ft", *args], place)]


def by_torchrun(args: list[str], place: Path) -> list[subprocess.Popen[str]]:
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    return [process([*launcher, "-m", "vision_ft", *args], place)]


def by_slurm(args: list[str], place: Path) -> list[subprocess.Popen[str]]:
    """As ``srun --ntasks 2`` does: the same command twice, told apart by variables alone."""
    variables = {
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_JOB_NAME": "pets",
        "SLURM_JOB_ID": "4242",
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "localhost",
        "SLURM_NODEID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    return [
        process(["vision_ft", *args], place, **variables, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank))
        for rank in range(2)
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def single(place: Path, drawings: Path) -> Path:
    (started,) = alone(fit(drawings, "single", 16), place)
    _, errors = started.communicate(timeout=300)
    assert started.returncode == 0, errors
    return place / "runs/single/latest"


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / "checkpoints/last.ckpt")[1]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("start", [alone, by_torchrun, by_slurm], ids=["Lightning", "torchrun", "SLURM"])
def test_two_processes_are_one_run(start: Start, single: Path, place: Path, drawings: Path) -> None:
    name = start.__name__
    started = start([*fit(drawings, name, 8), *TWO], place)
    said = [one.communicate(timeout=300) for one in started]
    assert [one.returncode for one in started] == [0] * len(started), said
    errors = "".join(errors for _, errors in said)
    assert "unused" not in errors
    assert "Warning" not in errors, errors

    # The first process alone makes a folder, writes, and speaks.
    (folder,) = (path for path in (place / "runs" / name).iterdir() if not path.is_symlink())
    assert errors.count("handed over: ") == 1
    assert errors.count("run folder: ") == 1
    assert sum(printed.count("bundle: ") for printed, _ in said) == 1
    assert {path.name for path in folder.iterdir() if not path.name.startswith("events.")} == {
        path.name for path in single.iterdir() if not path.name.startswith("events.")
    }
    steps = [row["step"] for row in table(folder / "metrics.csv") if row["val/loss"]]
    assert len(steps) == len(set(steps)) == 6

    # The same weights, and the same scores of the same photos, each counted once.
    ours, theirs = tensors(folder), tensors(single)
    assert ours.keys() == theirs.keys()
    assert max(float((ours[key].double() - theirs[key].double()).abs().max()) for key in ours) < 1e-6
    for one, two in zip(table(folder / "candidates.csv"), table(single / "candidates.csv"), strict=True):
        assert one["weights"] == two["weights"]
        assert float(one["log_loss"]) == pytest.approx(float(two["log_loss"]), abs=1e-6)
        assert one["accuracy"] == two["accuracy"]
