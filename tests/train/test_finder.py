from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vision_ft.cli import main
from vision_ft.train import finder
from vision_ft.train.finder import BatchSize, best_batch, suggest
from vision_ft.train.prepared import Prepared

PHASES = "[{epochs: 1, stages: [head], lr: 0.003}, {epochs: 1, stages: 3, lr: 0.001, layer_decay: 0.5}]"


def settings(drawings: Path, *more: str) -> list[str]:
    return [
        "--data.root", str(drawings), "--model.image_size", "32", "--data.num_workers", "0", "--data.batch_size", "8",
        "--unfreeze.phases", PHASES, "--trainer.accelerator", "cpu", *more,
    ]  # fmt: skip


RATES = np.geomspace(1e-6, 1, 50)


@pytest.mark.parametrize(
    ("losses", "low", "high"),
    [
        (-0.8 / (1 + (1e-3 / RATES) ** 2), 3e-4, 3e-3),
        (np.where(RATES < 1e-2, -0.5 / (1 + (1e-4 / RATES) ** 2), 9.0), 3e-5, 3e-4),
        (np.where(RATES < 1e-2, -0.5 / (1 + (1e-4 / RATES) ** 2), math.nan), 3e-5, 3e-4),
    ],
    ids=["falls", "falls, then blows up", "falls, then no numbers"],
)
def test_the_rate_where_the_loss_falls_fastest(losses: np.ndarray, low: float, high: float) -> None:
    found = suggest(list(RATES), list(losses), 1.0)
    assert found is not None
    assert low < found < high


@pytest.mark.parametrize("losses", [np.zeros(50), RATES, -0.01 * RATES], ids=["flat", "rises", "hardly falls"])
def test_no_rate_where_it_does_not(losses: np.ndarray) -> None:
    assert suggest(list(RATES), list(losses), 1.0) is None


def test_find_lr(
    drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["find", "lr", "--steps", "30", *settings(drawings, "--unfreeze.fit_head", "false")]
    args += ["--model.head_start", "zero"]
    assert main(args) == 0
    said = capsys.readouterr().out
    assert "phase 1: the loss falls fastest at " in said
    assert "configured is 0.003" in said
    assert "phase 2: " in said
    with Path("rates/rates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["phase"] for row in rows} == {"1", "2"}
    first = [float(row["lr"]) for row in rows if row["phase"] == "1"]
    assert first == sorted(first)
    assert first[0] == pytest.approx(1e-6)
    with Image.open("rates/rates.png") as figure:
        assert figure.width > 800
    assert not Path("runs").exists()
    assert main(args) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_phase_is_tried_from_where_fit_would_begin_it(drawings: Path) -> None:
    """Its stages alone move, each at its share of the rate, and afterwards the network is as it was."""
    cli = Prepared(["fit", *settings(drawings, "--unfreeze.fit_head", "false")])
    start = {name: tensor.clone() for name, tensor in cli.model.network.state_dict().items()}
    moved: list[set[str]] = []
    rates: list[dict[str, float]] = []
    step = cli.step

    def noting(batch: Any, optimizer: torch.optim.Optimizer) -> float:
        loss = step(batch, optimizer)
        now = cli.model.network.state_dict()
        names = {name for name in start if not torch.equal(start[name], now[name])}
        of = {name: stage for stage in cli.model.network.stages for name, _ in cli.model.network.parameters_of(stage)}
        moved.append({of[name] for name in names})
        rates.append({group["stage"]: group["lr"] for group in optimizer.param_groups if group["lr"]})
        return loss

    cli.step = noting  # type: ignore[method-assign]
    found = list(finder.try_rates(cli, 12))
    assert [one.phase for one in found] == [1, 2]
    first, second = moved[len(found[0].rates) - 1], moved[-1]
    assert first == {"head"}
    assert second == {"head", "blocks.6", "blocks.5"}
    assert rates[-1]["blocks.5"] == pytest.approx(rates[-1]["head"] / 4)
    after = cli.model.network.state_dict()
    assert all(torch.equal(start[name], after[name]) for name in start)


def test_find_batch(drawings: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to where memory is short: with PyTorch's own error for it, for this machine has no GPU to fill."""
    step = Prepared.step

    def short(cli: Prepared, batch: Any, optimizer: torch.optim.Optimizer) -> float:
        if len(batch.labels) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(cli, batch, optimizer)

    monkeypatch.setattr(Prepared, "step", short)
    assert main(["find", "batch", *settings(drawings)]) == 0
    said = capsys.readouterr().out
    assert said.count("does not fit") == 2
    (line,) = [line for line in said.splitlines() if "--data.batch_size" in line]
    assert int(line.split()[-1]) in (2, 4, 8)
    monkeypatch.setattr(finder, "_MOST_MEMORY", 0.0)
    assert main(["find", "batch", *settings(drawings)]) == 0
    assert "--data.batch_size 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("speeds", "best"),
    [
        ({1: {2: 10, 4: 20, 8: 20.5}}, 4),
        ({1: {2: 10, 4: 20, 8: 30}, 2: {2: 5, 4: 10, 8: None}}, 4),
        ({1: {2: None}}, None),
        ({1: {2: 10}, 2: {2: None}}, None),
    ],
)
def test_the_best_batch_fits_in_every_phase(speeds: dict[int, dict[int, float | None]], best: int | None) -> None:
    tried = [BatchSize(phase, photos, speed, 0) for phase, row in speeds.items() for photos, speed in row.items()]
    assert best_batch(tried) == best


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["find", "lr", "--steps", "3"], "--steps is 3, must be 10 or more"),
        (["find", "batch", "--most", "0"], "--most is 0"),
        (["find", "batch", "--data.root", "nowhere"], "no folder 'nowhere'"),
        (["find", "lr", "--stpes", "20", "--data.root", "nowhere"], "no setting --stpes"),
        (["find", "batch", "--most", "1"], "--most is 1, must be 2 or more"),
        (["find", "rl"], "did you mean 'find lr'"),
        (["find"], "find lr, find batch"),
    ],
)
def test_wrong_turns(args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    assert words in capsys.readouterr().err


def test_nothing_to_try(drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "lr", *settings(drawings, "--unfreeze.phases", "[]")]) == 2
    assert "no phase to try anything in" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_trainer_that_cannot_be(drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "lr", *settings(drawings, "--trainer.accelerator", "gpu")]) == 2
    assert "trainer: " in capsys.readouterr().err
