"""What is frozen below runs apart from what trains: with the same results, and once for each view that comes again."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model.test_trunk import SEQUENCES
from vision_ft.cli import main
from vision_ft.data.loading import PhotoDataset
from vision_ft.model.classifier import Classifier
from vision_ft.train import boundary, eyes
from vision_ft.train.boundary import Boundary
from vision_ft.train.cli import VisionCLI
from vision_ft.train.forecast import Forecast
from vision_ft.train.run import forget_run
from vision_ft.train.slots import Slots

# Down, and up again: what was trained in between lies below the last boundary.
PHASES = "[{epochs: 2, stages: 2, lr: 1e-3}, {epochs: 2, stages: 3, lr: 1e-3}, {epochs: 2, stages: 1, lr: 1e-3}]"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISION_FT_CACHE", str(tmp_path / "cache"))


def fit(photos: Path, backbone: str, *more: str, phases: str = PHASES) -> VisionCLI:
    size = str(SEQUENCES.get(backbone, (75,))[0])
    cli = VisionCLI([
        "fit", "--data.root", str(photos), "--run.name", "run", "--model.backbone", backbone, "--model.weights",
        "random:", "--model.image_size", size, "--data.batch_size", "14", "--unfreeze.phases", phases,
        "--trainer.accelerator", "cpu", *more,
    ])  # fmt: skip
    forget_run()
    return cli


def losses(cli: VisionCLI) -> dict[str, float]:
    assert cli.folder is not None
    with cli.folder.candidates.open() as file:
        return {row["weights"]: float(row["log_loss"]) for row in csv.DictReader(file)}


def weights(cli: VisionCLI) -> dict[str, torch.Tensor]:
    assert cli.folder is not None
    return {
        name: tensor
        for name, tensor in torch.load(cli.folder.last, weights_only=True)["state_dict"].items()
        if tensor.is_floating_point()
    }


@pytest.mark.parametrize("backbone", SEQUENCES)
def test_the_same_as_the_plain_way_on_the_same_views(
    backbone: str, drawings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every batch of a training in which views come again, and of its validation, is computed both ways."""
    seen: Counter[str] = Counter()
    real = boundary._Side.logits

    def both(side: Any, batch: Any) -> torch.Tensor:
        chance = torch.get_rng_state()
        found = real(side, batch)
        part = "train" if cli_model[0].training else "val"
        view = side._dataset.view(side._epoch())
        pixels = torch.stack([torch.tensor(side._dataset.pixels(row, view)) for row in batch.rows.tolist()])
        network = cli_model[0].network
        with torch.no_grad():
            # Some families skip blocks at random while they train.
            torch.set_rng_state(chance)
            wanted = network(pixels)
            torch.set_rng_state(chance)
            reached = side._trunk.below(network.normalised(pixels), side.boundary)
            rounded = side._trunk.above(reached.to(side._dtype).float(), side.boundary)
        # Exactly that rounding, and no more; weights that were never trained make much of it.
        assert (found - rounded).abs().max() <= 1e-4 * rounded.abs().max().clamp(min=1), (part, side.boundary)
        allowed = 0.2 if part == "train" else 1e-4
        assert (found - wanted).abs().max() <= allowed * wanted.abs().max(), (part, side.boundary)
        seen[part] += 1
        seen[f"{part}, of which nothing was read"] += all(batch.skipped)
        return found

    cli_model: list[Classifier] = []
    start = Boundary.on_train_start

    def begin(self: Boundary, trainer: Any, model: Any) -> None:
        cli_model.append(model)
        start(self, trainer, model)

    monkeypatch.setattr(boundary._Side, "logits", both)
    monkeypatch.setattr(Boundary, "on_train_start", begin)
    # The batches of its probe are no steps.
    monkeypatch.setattr(Forecast, "on_train_start", lambda *_: None)
    fit(drawings, backbone, "--data.views", "1")
    assert seen["train"] == 6 * 4
    # In the second epoch of each phase.
    assert seen["train, of which nothing was read"] == 3 * 4
    assert seen["val, of which nothing was read"] >= 3


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_training_ends_where_the_plain_one_ends(workers: str, drawings: Path) -> None:
    """Down to the ground, where nothing is left to cut off and photos are read again, and up."""
    phases = "[{epochs: 2, stages: 2, lr: 1e-3}, {epochs: 2, stages: all, lr: 1e-4}, {epochs: 1, stages: 1, lr: 1e-3}]"
    ours, plain = (
        fit(drawings, "tf_efficientnet_lite0", "--cache.boundary", value, "--data.num_workers", workers, phases=phases)
        for value in ("true", "false")
    )
    # Nothing is rounded where every epoch has views of its own.
    assert losses(ours) == pytest.approx(losses(plain), rel=1e-3, abs=1e-4)
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(ours)[name], tensor, rtol=1e-2, atol=1e-4)


def test_a_view_is_read_once(drawings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[tuple[bool, int, int]] = Counter()
    real = PhotoDataset.pixels

    def counted(self: PhotoDataset, row: int, view: int) -> Any:
        read[self._augmentation is not None, row, view] += 1
        return real(self, row, view)

    monkeypatch.setattr(PhotoDataset, "pixels", counted)
    phase = "[{epochs: 5, stages: 2, lr: 1e-3}]"
    fit(drawings, "resnet18", "--data.views", "2", phases=phase)
    training = {key: count for key, count in read.items() if key[0]}
    assert {view for _, _, view in training} == {0, 1}
    assert set(training.values()) == {1}
    assert len(training) == 2 * 56
    # Validation photos for the head and for the first epoch, never again.
    assert sum(count for key, count in read.items() if not key[0]) <= 56 + 2 * 12
    read.clear()
    # Where nothing is kept, its probe reads photos that are read again.
    monkeypatch.setattr(Forecast, "on_train_start", lambda *_: None)
    fit(drawings, "resnet18", "--data.views", "2", "--cache.boundary", "false", phases=phase)
    assert sum(count for key, count in read.items() if key[0]) == 5 * 56


def test_the_engine_serves_the_frozen_part(drawings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyes, "_WORTH", 0)
    made = []
    real = eyes.ByOnnxRuntime

    class Counted(real):  # type: ignore[misc, valid-type]
        def __init__(self, graph: bytes) -> None:
            made.append(len(graph))
            super().__init__(graph)

    monkeypatch.setattr(eyes, "ByOnnxRuntime", Counted)
    ours = fit(drawings, "resnet18")
    # Features, and one for each of three boundaries.
    assert len(made) == 4
    plain = fit(drawings, "resnet18", "--cache.boundary", "false")
    assert losses(ours) == pytest.approx(losses(plain), rel=2e-3, abs=1e-3)


def test_training_views_may_be_rounded_and_what_weights_are_judged_by_is_not(
    drawings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eyes, "_WORTH", 0)
    used: dict[str, set[str]] = {"train": set(), "val": set()}
    real = boundary._Side.logits

    def logits(side: Any, batch: Any) -> torch.Tensor:
        used["val" if side._dataset._augmentation is None else "train"].add(type(side._eyes).__name__)
        return real(side, batch)

    monkeypatch.setattr(boundary._Side, "logits", logits)
    phase = "[{epochs: 2, stages: 2, lr: 1e-3}]"
    half = fit(drawings, "resnet18", "--trainer.precision", "bf16-mixed", phases=phase)
    assert used == {"train": {"ByOpenVino"}, "val": {"ByOnnxRuntime"}}
    whole = fit(drawings, "resnet18", "--trainer.precision", "32-true", phases=phase)
    assert used["train"] == {"ByOpenVino", "ByOnnxRuntime"}
    assert losses(half)["head alone"] == losses(whole)["head alone"]
    assert losses(half)["epoch 2"] == pytest.approx(losses(whole)["epoch 2"], rel=0.1)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_that_is_resumed_sees_what_it_saw(
    precision: str, drawings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of an epoch of views that were kept: they are looked at again, among others than before."""
    monkeypatch.setattr(eyes, "_WORTH", 0)
    settings = ["--data.views", "1", "--trainer.precision", precision]
    phase = "[{epochs: 3, stages: 2, lr: 1e-3}]"
    whole = weights(fit(drawings, "resnet18", *settings, phases=phase))
    real, steps = Classifier.training_step, Counter[str]()

    def step(model: Classifier, *batch: Any) -> torch.Tensor | None:
        steps["made"] += 1
        if steps["made"] == 7:
            raise RuntimeError("no more power")
        return real(model, *batch)

    monkeypatch.setattr(Classifier, "training_step", step)
    with pytest.raises(RuntimeError, match="no more power"):
        fit(drawings, "resnet18", *settings, "--run.save_every_steps", "6", phases=phase)
    forget_run()
    last = Path("runs/run/latest/checkpoints/last.ckpt").resolve()
    assert torch.load(last, weights_only=True)["global_step"] == 6
    resumed = weights(fit(drawings, "resnet18", *settings, "--ckpt_path", str(last), phases=phase))
    assert steps["made"] == 7 + 12 - 6
    assert all(torch.equal(whole[name], tensor) for name, tensor in resumed.items())


@pytest.mark.parametrize(
    ("backbone", "more"),
    [("inception_v3", ()), ("resnet18", ("--model.mixup", "0.2")), ("resnet18", ("--cache.gigabytes", "0"))],
)
def test_where_nothing_can_be_kept(backbone: str, more: tuple[str, ...], drawings: Path) -> None:
    """A backbone that is no sequence, photos that are blended, and no room."""
    phase = "[{epochs: 2, stages: 2, lr: 1e-3}]" if backbone == "resnet18" else "[{epochs: 1, stages: 1, lr: 1e-3}]"
    ours, plain = (
        losses(fit(drawings, backbone, "--data.views", "1", "--cache.boundary", value, *more, phases=phase))
        for value in ("true", "false")
    )
    assert ours == pytest.approx(plain, rel=1e-2, abs=1e-3)


def test_a_whole_fit_with_few_views(drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([
        "fit", "--data.root", str(drawings), "--model.image_size", "32", "--data.views", "1", "--data.batch_size", "16",
        "--unfreeze.phases", "[{epochs: 3, stages: 2, lr: 1e-3}]", "--trainer.accelerator", "cpu",
    ]) == 0  # fmt: skip
    forget_run()
    assert "bundle: " in capsys.readouterr().out
    assert main(["fit", "--data.root", str(drawings), "--data.views", "0"]) == 2
    assert "data.views is 0, must be 1 or more, or null" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slots_give_back_what_was_put(dtype: torch.dtype, tmp_path: Path) -> None:
    slots = Slots(tmp_path / "new", 3 * 2 * 5 * dtype.itemsize)
    rows = torch.randn(4, 2, 5).to(dtype)
    # As convolutions give them, with another order in memory.
    slots.put([(0, 0), (7, 1)], rows[:2].transpose(1, 2).contiguous().transpose(1, 2))
    slots.put([(7, 1), (3, 0), (4, 0)], rows[1:])
    assert [(0, 0) in slots, (7, 1) in slots, (3, 0) in slots] == [True] * 3
    # There is room for three.
    assert (4, 0) not in slots
    assert torch.equal(slots.get([(3, 0), (0, 0), (7, 1)]), rows[[2, 0, 1]])
    with pytest.raises(KeyError):
        slots.get([(4, 0)])
    assert list((tmp_path / "new").iterdir()) == []


def test_slots_without_a_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    slots = Slots(tmp_path / "file", 1 << 20)
    slots.put([(0, 0)], torch.zeros(1, 4))
    assert (0, 0) not in slots
    assert "no more views of photos are kept" in caplog.text
