from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from tests.training import quick_trainer
from vision_ft.data.module import PhotoData
from vision_ft.errors import ConfigError
from vision_ft.model.classifier import Classifier
from vision_ft.train.judging import Scored, between, wearing
from vision_ft.train.schedule import Phase
from vision_ft.train.steps import Average, StepSeed
from vision_ft.train.unfreeze import Unfreeze


class ByHand(pl.Callback):
    """The average, computed as its definition says from a copy of the weights after every step of the optimizer."""

    def __init__(self, decay: float | None) -> None:
        self.decay = decay
        self.steps = 0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.average = {name: tensor.clone().double() for name, tensor in module.network.state_dict().items()}

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step == self.steps:
            return
        self.steps = trainer.global_step
        decay = 1 - 1 / trainer.num_training_batches if self.decay is None else self.decay
        for name, now in module.network.state_dict().items():
            before = self.average[name]
            self.average[name] = decay * before + (1 - decay) * now if now.is_floating_point() else now.clone()


@pytest.mark.parametrize(("decay", "gathered"), [(None, 1), (0.5, 1), (0.9, 2)])
def test_the_average_is_its_definition(decay: float | None, gathered: int, drawings: Path, tmp_path: Path) -> None:
    pl.seed_everything(0, verbose=False)
    data = PhotoData(str(drawings), batch_size=8, num_workers=0)
    model = Classifier(data.classes, "resnet18", "random:", image_size=32)
    data.frame_as(model.preprocessing.framing)
    average, by_hand = Average(decay), ByHand(decay)
    unfreeze = Unfreeze([Phase(1, 1, 1e-2), Phase(1, "all", 1e-2)], batch_norm="train")
    trainer = quick_trainer(tmp_path, 2, [average, by_hand, unfreeze])
    trainer.accumulate_grad_batches = gathered
    trainer.fit(model, data)
    assert average.weights is not None
    assert by_hand.steps == trainer.global_step > 6
    moved = 0
    for name, now in model.network.state_dict().items():
        torch.testing.assert_close(average.weights[name].double(), by_hand.average[name].double(), rtol=1e-4, atol=1e-6)
        moved += not torch.equal(average.weights[name], now)
    assert moved > 50


def test_no_average_is_kept_where_none_is_wanted(drawings: Path, tmp_path: Path) -> None:
    data = PhotoData(str(drawings), batch_size=28, num_workers=0)
    model = Classifier(data.classes, "resnet18", "random:", image_size=32)
    data.frame_as(model.preprocessing.framing)
    average = Average(0)
    quick_trainer(tmp_path, 1, [average, Unfreeze([Phase(1, 1, 1e-2)])]).fit(model, data)
    assert average.weights is None


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ConfigError, match=r"ema\.decay"):
        Average(decay)


def test_a_steps_random_numbers_hang_on_seed_epoch_step_and_device() -> None:
    class Trainer:
        current_epoch, global_rank = 0, 0

    drawn = []
    for seed, epoch, rank, batch in (
        (1, 0, 0, 0),
        (1, 0, 0, 0),
        (2, 0, 0, 0),
        (1, 1, 0, 0),
        (1, 0, 1, 0),
        (1, 0, 0, 1),
    ):
        trainer: Any = Trainer()
        trainer.current_epoch, trainer.global_rank = epoch, rank
        torch.rand(17)
        StepSeed(seed).on_train_batch_start(trainer, None, None, batch)  # type: ignore[arg-type]
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 5


def scored(*losses: float) -> Scored:
    tensor = torch.tensor(losses, dtype=torch.float64)
    return Scored(tensor, torch.where(tensor.isnan(), tensor, (tensor < 0.7).double()))


def test_a_gain_is_the_mean_difference_with_an_interval_that_holds_it() -> None:
    generator = torch.Generator().manual_seed(0)
    before = torch.rand(200, generator=generator, dtype=torch.float64)
    better = scored(*(before - 0.1 + 0.05 * torch.randn(200, generator=generator, dtype=torch.float64)).tolist())
    mean, low, high = better.gain(scored(*before.tolist()))
    assert low < mean < high
    assert mean == pytest.approx(0.1, abs=0.02)
    # 1.96 standard errors of the mean of 200 differences on both sides.
    assert high - low == pytest.approx(2 * 1.96 * 0.05 / 200**0.5, rel=0.25)
    assert scored(*before.tolist()).gain(scored(*before.tolist())) == (0.0, 0.0, 0.0)


def test_scores_of_photos_that_could_not_be_read_and_of_weights_that_diverged() -> None:
    nan = float("nan")
    assert scored(0.2, nan, 0.4).log_loss == pytest.approx(0.3)
    assert scored(0.2, nan, 0.9).accuracy == 0.5
    diverged = Scored(torch.tensor([0.1, nan]).double(), torch.tensor([1.0, 0.0]).double())
    assert diverged.log_loss == float("inf")


def test_weights_that_were_worn_are_taken_off_bit_for_bit() -> None:
    model = Classifier(("a", "b"), "convnext_atto", "random:", image_size=32)
    own = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    other = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in own.items()}

    def wear() -> None:
        with wearing(model, other):
            assert all(torch.equal(tensor, other[name]) for name, tensor in model.network.state_dict().items())
            raise KeyError

    with pytest.raises(KeyError):
        wear()
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.network.state_dict().items())


def test_between_two_weights() -> None:
    first, second = (
        {"w": torch.tensor([0.0, 4.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([2.0, 0.0]), "n": torch.tensor(7)},
    )
    half = between(first, second, 0.25)
    assert half["w"].tolist() == [0.5, 3.0]
    assert half["n"] == 7
    assert torch.equal(between(first, second, 1.0)["w"], second["w"])
