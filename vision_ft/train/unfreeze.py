"""The one callback that applies the schedule to the network and the optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

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
        batch_norm: Literal["frozen", "train"] = "frozen",
        patience: int | None = None,
        fit_head: bool = True,
        head_views: int = 0,
    ) -> None:
        """Take the phases by hand or by rule.

        Args:
            phases: a list, each with its epochs, stages and learning rate; an empty one trains the head alone.
            gradual: the rule that makes such a list: one stage every k epochs from the head down. Used, with its
                defaults, when neither is given.
            batch_norm: whether BatchNorm in stages that train keeps its statistics (frozen) or updates them (train).
            patience: a phase ends early, and the next begins, after so many epochs without a new lowest validation
                loss; never if not given.
            fit_head: whether the head is trained to its optimum on the frozen backbone before the first phase.
            head_views: how many random views of each training photo (data.augment) the head is fitted to then, beside
                the photo as it is; the backbone looks at each once.

        Raises:
            ConfigError: both are given, or a value is out of range.
        """
        faults = []
        if phases is not None and gradual is not None:
            faults.append(
                "unfreeze: both phases and gradual are set; set the one not meant to null, as in --unfreeze.phases null"
            )
        if phases == [] and not fit_head:
            faults.append("unfreeze: there is no phase, and fit_head is false, so nothing would train")
        if batch_norm not in ("frozen", "train"):
            faults.append(f"unfreeze.batch_norm is {batch_norm!r}, must be 'frozen' or 'train'")
        if patience is not None and patience < 1:
            faults.append(f"unfreeze.patience is {patience}, must be 1 or more, or null")
        if head_views < 0:
            faults.append(f"unfreeze.head_views is {head_views}, must be 0 or more")
        if faults:
            raise ConfigError("; ".join(faults))
        self._phases = phases
        self._gradual = gradual or Gradual()
        self._batch_norm_frozen = batch_norm == "frozen"
        self._patience = patience
        self.fit_head = fit_head
        self.head_views = head_views
        self._losses: list[float] = []
        self._synchronised: frozenset[tuple[str, bool]] | None = None

    @property
    def losses(self) -> Sequence[float]:
        """The validation loss after each epoch so far."""
        return tuple(self._losses)

    def hear(self, epoch: int, loss: float) -> None:
        """Take note of the validation loss after an epoch, counted from 0; said twice, the first word counts."""
        if epoch == len(self._losses):
            self._losses.append(loss)

    def state_dict(self) -> dict[str, Any]:
        """What the schedule hangs on besides the epoch."""
        return {"losses": list(self._losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the losses of the run that is resumed."""
        self._losses = list(state_dict["losses"])

    def schedule(self, stages: Sequence[str]) -> Schedule:
        """The schedule for a network with these stages, from the bottom to the head.

        Raises:
            ConfigError: a phase is wrong; all faults at once.
        """
        if self._phases is not None:
            return Schedule(self._phases, stages, self._patience)
        rule = self._gradual
        if faults := rule.faults():
            raise ConfigError("; ".join(faults))
        phases = rule.phases(len(stages), head_fitted=self.fit_head)
        if not phases and not self.fit_head:
            raise ConfigError("unfreeze.gradual: unfreezes nothing, and fit_head is false, so nothing would train")
        return Schedule(phases, stages, self._patience)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze what is frozen in the first epoch, before the network is wrapped for several devices."""
        if stage == "fit":
            self._synchronised = self.apply(_classifier(pl_module), epoch=0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Apply the state of the first epoch; of a resumed run's, Lightning does not always announce the start."""
        self._enter_epoch(trainer, _classifier(pl_module))
        self._stop_early(trainer, trainer.current_epoch, _classifier(pl_module))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Apply the state of this epoch."""
        self._enter_epoch(trainer, _classifier(pl_module))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Apply the rates of this step."""
        # Its middle, so that a warm-up gives the first step a rate too; all batches of a step have the same.
        together = trainer.accumulate_grad_batches
        steps = math.ceil(trainer.num_training_batches / together)
        progress = trainer.current_epoch + (batch_idx // together + 0.5) / steps
        self._set_rates(trainer, _classifier(pl_module), progress)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop when the last phase has ended early."""
        if (loss := trainer.callback_metrics.get("val/loss")) is not None:
            self.hear(trainer.current_epoch, float(loss))
        self._stop_early(trainer, trainer.current_epoch + 1, _classifier(pl_module))

    def _stop_early(self, trainer: pl.Trainer, done: int, model: Classifier) -> None:
        schedule = self.schedule(model.network.stages)
        early = schedule.begins(self._losses)[-1]
        if early < schedule.epochs and done >= early:
            trainer.should_stop = True

    def _enter_epoch(self, trainer: pl.Trainer, model: Classifier) -> None:
        trained = self.apply(model, trainer.current_epoch)
        if trained != self._synchronised:
            _wrap_again(trainer)
            self._synchronised = trained

    def apply(self, model: Classifier, epoch: int) -> frozenset[tuple[str, bool]]:
        """Freeze and unfreeze for an epoch, and return what trains."""
        state = self.schedule(model.network.stages).at(epoch, self._losses)
        model.network.train_only(
            # Where nothing trains, the head could: several devices cannot share a network without a gradient.
            state.rates or model.network.stages[-1:],
            batch_norm_frozen=self._batch_norm_frozen,
            adapters=state.adapters,
        )
        return frozenset((stage, state.adapters) for stage in state.rates)

    def _set_rates(self, trainer: pl.Trainer, model: Classifier, epoch: float) -> None:
        rates = self.schedule(model.network.stages).at(epoch, self._losses).rates
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
