"""Half the digits where a measurement says that it pays, and all of them where it matters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from tests.model.test_trunk import network
from tests.train.test_boundary import fit
from vision_ft.model.classifier import Classifier
from vision_ft.model.network import Network
from vision_ft.train import precision
from vision_ft.train.precision import EXACT, HALF, fitting_precision
from vision_ft.train.schedule import Phase, Schedule

bfloat16 = pytest.mark.skipif(not precision._cpu_has_bfloat16(), reason="this CPU has no bfloat16")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISION_FT_CACHE", str(tmp_path / "cache"))


def schedule(*stages: str, epochs: int = 3, of: str = "resnet18") -> Schedule:
    net = network(of, 32)
    return Schedule([Phase(epochs=epochs, stages=list(stages), lr=1e-3)], net.stages)


@pytest.mark.parametrize(
    ("seconds", "photos", "found"),
    [
        ((1.0, 0.5), 1000, HALF),
        ((1.0, 0.95), 1000, EXACT),
        ((0.5, 1.0), 1000, EXACT),
        # Half the time of next to nothing.
        ((0.002, 0.001), 1000, EXACT),
    ],
)
def test_it_must_be_worth_it(
    seconds: tuple[float, float], photos: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "_step_seconds", lambda _: seconds)
    assert fitting_precision("auto", network("resnet18", 32), schedule("head"), photos) == found


def test_nothing_is_measured_where_nothing_follows_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(_: object) -> None:
        raise AssertionError("a step was measured")

    monkeypatch.setattr(precision, "_step_seconds", measured)
    net = network("resnet18", 32)
    assert fitting_precision("cpu", net, None, 1000) == EXACT
    assert fitting_precision("cpu", net, Schedule([], net.stages), 1000) == EXACT
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: False)
    assert fitting_precision("cpu", net, schedule("head"), 1000) == EXACT


def test_measuring_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("tf_efficientnet_lite0", 64)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    chance = torch.get_rng_state()
    took = []
    real = precision._step_seconds

    def seconds(net: Network) -> tuple[float, float]:
        # A step of a network that skips blocks draws random numbers.
        torch.rand(1)
        took.append(real(net))
        return took[0]

    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "_step_seconds", seconds)
    fitting_precision("cpu", net, schedule("head", "blocks.6", of="tf_efficientnet_lite0"), 1000)
    assert min(took[0]) > 0
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(chance, torch.get_rng_state())


def test_what_was_found_stands_in_the_settings_of_the_run(drawings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision_ft.train.cli.fitting_precision", lambda *_: HALF)
    cli = fit(drawings, "test_resnet", phases="[{epochs: 1, stages: 2, lr: 1e-3}]")
    assert cli.trainer.precision == HALF
    assert cli.folder is not None
    assert yaml.safe_load(cli.folder.config.read_text())["trainer"]["precision"] == HALF


@bfloat16
def test_weights_are_judged_with_all_digits(drawings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    real = Classifier._logits

    def logits(model: Classifier, part: str, batch: object) -> torch.Tensor:
        found = real(model, part, batch)  # type: ignore[arg-type]
        seen.add((part, found.dtype))
        return found

    monkeypatch.setattr(Classifier, "_logits", logits)
    fit(drawings, "test_resnet", "--trainer.precision", HALF, phases="[{epochs: 1, stages: 2, lr: 1e-3}]")
    assert seen == {("train", torch.bfloat16), ("val", torch.float32)}
