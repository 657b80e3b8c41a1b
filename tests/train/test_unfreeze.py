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
from vision_ft.train.schedule import Gradual, Phase
from vision_ft.train.unfreeze import Unfreeze

BACKBONES = ("tf_efficientnet_lite0", "resnet18", "convnext_atto", "vit_tiny_patch16_224")


class Watch(pl.Callback):
    """Compares every tensor of the network between the start and the end of each epoch."""

    def __init__(self) -> None:
        self.moved: list[set[str]] = []
        self.rates: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.before = {name: tensor.clone() for name, tensor in pl_module.network.state_dict().items()}  # type: ignore[union-attr, operator]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        after = pl_module.network.state_dict()  # type: ignore[union-attr, operator]
        self.moved.append({name for name, tensor in after.items() if not torch.equal(tensor, self.before[name])})
        groups = trainer.optimizers[0].param_groups
        self.rates.append({group["stage"]: group["lr"] for group in groups})


def trained(
    drawings: Path,
    backbone: str,
    unfreeze: Unfreeze,
    folder: Path,
) -> tuple[Classifier, Watch]:
    pl.seed_everything(0, verbose=False)
    data = PhotoData(str(drawings), batch_size=14, num_workers=0)
    model = Classifier(data.classes, backbone, "random:", image_size=32)
    data.frame_as(model.preprocessing.framing)
    watch = Watch()
    epochs = unfreeze.schedule(model.network.stages).epochs
    quick_trainer(folder, epochs, [unfreeze, watch]).fit(model, data)
    return model, watch


@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_is_frozen_is_bit_identical_and_what_trains_has_moved(
    backbone: str, drawings: Path, tmp_path: Path
) -> None:
    unfreeze = Unfreeze(
        [Phase(1, 1, 1e-2), Phase(1, 3, 1e-2), Phase(1, "all", 1e-2), Phase(1, ["head"], 1e-2)], batch_norm="train"
    )
    model, watch = trained(drawings, backbone, unfreeze, tmp_path)
    net = model.network
    for stages, moved in zip((1, 3, len(net.stages), 1), watch.moved, strict=True):
        free = net.stages[-stages:]
        parameters = {name for stage in free for name, _ in net.parameters_of(stage)}
        # Statistics of BatchNorm move in stages that train; a table of positions never does.
        statistics = {
            name
            for stage in free
            for name, _ in net.buffers_of(stage)
            if name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        }
        assert moved == parameters | statistics


def test_batch_norm_keeps_its_statistics_when_frozen(drawings: Path, tmp_path: Path) -> None:
    _, watch = trained(drawings, "resnet18", Unfreeze([Phase(1, "all", 1e-2)], batch_norm="frozen"), tmp_path)
    (moved,) = watch.moved
    assert not [name for name in moved if "running" in name]
    assert "backbone.layer4.1.bn2.weight" in moved


def test_every_parameter_is_in_the_optimizer_once_from_the_start(drawings: Path, tmp_path: Path) -> None:
    model = Classifier(("a", "b"), "convnext_atto", "random:", image_size=32)
    groups = model.configure_optimizers().param_groups
    held = [parameter for group in groups for parameter in group["params"]]
    assert len(held) == len({id(parameter) for parameter in held})
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in model.parameters()}
    for group in groups:
        decayed = group["weight_decay"] > 0
        assert all((parameter.ndim > 1) == decayed for parameter in group["params"])


def test_rates_are_the_schedules_and_frozen_stages_have_none(drawings: Path, tmp_path: Path) -> None:
    unfreeze = Unfreeze([Phase(1, 1, 1e-2), Phase(1, 2, 1e-3, layer_decay=0.5)])
    model, watch = trained(drawings, "resnet18", unfreeze, tmp_path)
    assert watch.rates[0] == {stage: 1e-2 if stage == "head" else 0.0 for stage in model.network.stages}
    assert watch.rates[1] == {stage: {"head": 1e-3, "layer4": 5e-4}.get(stage, 0.0) for stage in model.network.stages}


def test_gradients_stop_where_the_backbone_is_frozen(drawings: Path, tmp_path: Path) -> None:
    model, _ = trained(drawings, "resnet18", Unfreeze([Phase(1, 2, 1e-2)]), tmp_path)
    with_gradient = {name for name, parameter in model.network.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[1] for name in with_gradient} == {"layer4", "fc"}


def test_phases_and_rule_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="both phases and gradual"):
        Unfreeze([Phase(1, 1, 1.0)], Gradual())


class Losses(pl.Callback):
    """Says what the validation loss was, whatever it was."""

    def __init__(self, unfreeze: Unfreeze, losses: list[float]) -> None:
        self.unfreeze, self.losses, self.phases = unfreeze, losses, list[int]()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trained = sum(group["lr"] > 0 for group in trainer.optimizers[0].param_groups if group["weight_decay"])
        self.phases.append(trained)
        self.unfreeze.hear(trainer.current_epoch, self.losses[trainer.current_epoch])


def test_phases_by_plateau_go_on_when_the_loss_stops_falling_and_end_the_run(drawings: Path, tmp_path: Path) -> None:
    unfreeze = Unfreeze([Phase(4, 1, 1e-3), Phase(4, 2, 1e-3), Phase(4, 3, 1e-3)], patience=1)
    data = PhotoData(str(drawings), batch_size=28, num_workers=0)
    model = Classifier(data.classes, "resnet18", "random:", image_size=32)
    data.frame_as(model.preprocessing.framing)
    losses = Losses(unfreeze, [0.9, 0.8, 0.8, 0.7, 0.9, 0.6, 0.5, 0.5, 0.1])
    trainer = quick_trainer(tmp_path, unfreeze.schedule(model.network.stages).epochs, [losses, unfreeze])
    trainer.fit(model, data)
    assert losses.phases == [1, 1, 1, 2, 2, 3, 3, 3]
    assert trainer.current_epoch == 8


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patience": 0}, "patience is 0"),
        ({"head_views": -1}, "head_views is -1"),
        ({"phases": [], "fit_head": False}, "nothing would train"),
        ({"patience": -1, "batch_norm": "x", "phases": [], "gradual": Gradual()}, "both phases.*batch_norm.*patience"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Unfreeze(**settings)


def test_a_rule_that_unfreezes_nothing_needs_the_head_fitted() -> None:
    rule = Gradual(until=0)
    assert Unfreeze(gradual=rule).schedule(("stem", "head")).epochs == 0
    assert Unfreeze(gradual=rule, fit_head=False).schedule(("stem", "head")).epochs == 2
    with pytest.raises(ConfigError, match="nothing would train"):
        Unfreeze(gradual=Gradual(head_epochs=0, until=0), fit_head=False).schedule(("stem", "head"))


@pytest.mark.parametrize("word", ["Frozen", "", "eval"])
def test_batch_norm_has_two_words(word: str) -> None:
    with pytest.raises(ConfigError, match="must be 'frozen' or 'train'"):
        Unfreeze(batch_norm=word)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "rule"), [("head_epochs", Gradual(head_epochs=-1)), ("until", Gradual(until=-2))])
def test_a_rule_out_of_range(name: str, rule: Gradual) -> None:
    with pytest.raises(ConfigError, match=f"gradual.{name}"):
        Unfreeze(gradual=rule).schedule(("stem", "head"))
