"""What a training is going to take is said before it, and changes nothing of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.test_boundary import fit, losses, weights
from vision_ft.train import forecast
from vision_ft.train.forecast import Forecast, in_words

PHASES = "[{epochs: 2, stages: 1, lr: 1e-3}, {epochs: 1, stages: all, lr: 1e-3}]"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISION_FT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("more", [[], ["--data.views", "1"]], ids=["new views", "views that come again"])
def test_a_forecast_changes_nothing(
    more: list[str], drawings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Dropout draws random numbers, and BatchNorm that trains changes with every batch that it sees.
    settings = ["--model.dropout", "0.2", "--unfreeze.batch_norm", "train", *more]
    real = Forecast.on_train_start

    def begin(self: Forecast, trainer: Any, model: Any) -> None:
        chance, trained = torch.get_rng_state(), [one.requires_grad for one in model.parameters()]
        real(self, trainer, model)
        assert torch.equal(chance, torch.get_rng_state())
        assert trained == [one.requires_grad for one in model.parameters()]
        assert all(one.grad is None for one in model.parameters())

    monkeypatch.setattr(forecast.Forecast, "on_train_start", begin)
    told = fit(drawings, "test_resnet", *settings, phases=PHASES)
    said = capsys.readouterr().err
    monkeypatch.setattr(forecast.Forecast, "on_train_start", lambda *_: None)
    untold = fit(drawings, "test_resnet", *settings, phases=PHASES)
    assert losses(told) == losses(untold)
    for (name, one), other in zip(weights(told).items(), weights(untold).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, msg=name)
    assert len(re.findall(r"expected, after a short probe: \d+ s of training and \d+\.\d GB of memory", said)) == 1
    assert re.search(r"trained in \d+ s \(expected \d+ s\), \d+\.\d GB of memory \(expected \d+\.\d\)", said)
    assert said.index("expected, after a short probe") < said.index("epoch 1/3") < said.index("trained in")
    assert "expected" not in capsys.readouterr().err


def test_later_phases_take_longer(drawings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    real = Forecast._longer

    def longer(*args: object) -> dict[int, float]:
        found.append(real(*args))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(Forecast, "_longer", longer)
    fit(drawings, "test_resnet", phases=PHASES)
    assert found[0][0] == 0
    assert found[0][1] > 0, "the whole network takes no longer than the head alone"


def test_times_in_words() -> None:
    assert [in_words(seconds) for seconds in (0.4, 89, 125, 7300)] == ["0 s", "89 s", "2 min", "2 h 2 min"]
