"""The one callback that applies the schedule to the network and the optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy

from vision_ft.errors import ConfigError
from vision_ft.model.classifier import Classifier
from vision_ft.train.schedule import Gradual, Phase, Schedule


class Unfreeze(pl.Callback):
    """Unfreeze a backbone stage by stage.

    The whole state is applied every epoch, whatever it was before: which parameters take gradients, which modules are
    in train mode, and every group's learning rate. The rates are applied every step as well.
    """

    def __init__(
        self,
        phases: list[Phase] | None = None,
        gradual: Gradual | None = None,
        batch_norm: str = "frozen",
    ) -> None:
        """Take the phases by hand or by rule.

        Args:
            phases: a list, each with its epochs, stages and learning rate.
            gradual: the rule that makes such a list: one stage every k epochs from the head down. Used, with its
                defaults, when neither is given.
            batch_norm: whether BatchNorm in stages that train keeps its statistics (frozen) or updates them (train).

        Raises:
            ConfigError: both are given, or a value is out of range.
        """
        if phases is not None and gradual is not None:
            raise ConfigError(
                "unfreeze: both phases and gradual are set; set the one not meant to null, as in --unfreeze.phases null"
            )
        if batch_norm not in ("frozen", "train"):
            raise ConfigError(f"unfreeze.batch_norm is {batch_norm!r}, must be 'frozen' or 'train'")
        self._phases = phases
        self._gradual = gradual or Gradual()
        self._batch_norm_frozen = batch_norm == "frozen"
        self._synchronised: frozenset[str] | None = None

    def schedule(self, stages: Sequence[str]) -> Schedule:
        """The schedule for a network with these stages, from the bottom to the head.

        Raises:
            ConfigError: a phase is wrong; all faults at once.
        """
        if self._phases is not None:
            return Schedule(self._phases, stages)
        rule = self._gradual
        counts = {"head_epochs": rule.head_epochs, "until": 1 if rule.until is None else rule.until}
        faults = [
            f"unfreeze.gradual.{name} is {count}, must be 0 or more" for name, count in counts.items() if count < 0
        ]
        if faults:
            raise ConfigError("; ".join(faults))
        return Schedule(rule.phases(len(stages)), stages)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze what is frozen in the first epoch, before the network is wrapped for several devices."""
        if stage == "fit":
            self._synchronised = self._apply(_classifier(pl_module), epoch=0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Apply the state of the first epoch; of a resumed run's, Lightning does not always announce the start."""
        self._enter_epoch(trainer, _classifier(pl_module))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Apply the state of this epoch."""
        self._enter_epoch(trainer, _classifier(pl_module))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Apply the rates of this step."""
        # Its middle, so that a warm-up gives the first step a rate too.
        progress = trainer.current_epoch + (batch_idx + 0.5) / trainer.num_training_batches
        self._set_rates(trainer, _classifier(pl_module), progress)

    def _enter_epoch(self, trainer: pl.Trainer, model: Classifier) -> None:
        trained = self._apply(model, trainer.current_epoch)
        if trained != self._synchronised:
            _wrap_again(trainer)
            self._synchronised = trained

    def _apply(self, model: Classifier, epoch: int) -> frozenset[str]:
        """Freeze and unfreeze for an epoch, and return what trains."""
        rates = self.schedule(model.network.stages).at(epoch).rates
        model.network.train_only(rates, batch_norm_frozen=self._batch_norm_frozen)
        return frozenset(rates)

    def _set_rates(self, trainer: pl.Trainer, model: Classifier, epoch: float) -> None:
        rates = self.schedule(model.network.stages).at(epoch).rates
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rates.get(group["stage"], 0.0)


def _classifier(module: pl.LightningModule) -> Classifier:
    return cast(Classifier, module)


def _wrap_again(trainer: pl.Trainer) -> None:
    """Wrap the network anew when other parameters train than before.

    DistributedDataParallel synchronises what took gradients when it was wrapped, and nothing else
    (pytorch-lightning #20340): stages unfrozen later would drift apart between devices, in silence.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        strategy.model = strategy.lightning_module
        strategy.configure_ddp()
