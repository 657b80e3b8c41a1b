"""One fit of a search: nothing is exported, and it may be cut short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console

from vision_ft.train.cli import VisionCLI
from vision_ft.train.judging import Scored
from vision_ft.train.stop import Stop
from vision_ft.train.unfreeze import Unfreeze

# A number for a training that diverged: far above what a loss can be, and one that can be reckoned with.
DIVERGED = 1e3
# A trial is not judged by how it begins: one of few epochs is ahead of one of many there.
_JUDGED_FROM = 0.5
Report = Callable[[int, float, bool], None]


class Trial(VisionCLI):
    """A fit that says how it does.

    On one device: each of several would start the search once more.
    """

    def __init__(self, args: Sequence[str], stop: Stop, report: Report, called: tuple[str, str]) -> None:
        """Fit.

        Args:
            args: as :class:`VisionCLI` has them.
            called: what the search and the trial are called where figures are sent to.
            stop: hears when the search is told to end.
            report: told, in the second half of the trial, how many epochs are done, the lowest validation log-loss
                after any of them, and whether there are more to come. What it raises ends the trial.
        """
        self._report = report
        self._called = called
        super().__init__(args, stop, Console(stderr=True, quiet=True))

    def _fit_settings(self, settings: Any, callbacks: list[pl.Callback]) -> dict[str, Any]:
        changed = super()._fit_settings(settings, callbacks)
        callbacks.append(_Watch(self.unfreeze, self._report))
        return changed if settings["devices"] != "auto" else {**changed, "devices": 1}

    @property
    def called(self) -> tuple[str, str]:
        """The search and the trial."""
        return self._called

    @property
    def trained(self) -> Scored | None:
        """How the best of all weights that were trained does; ``None`` where no epoch was."""
        return None if self.selection is None else self.selection.trained

    @property
    def before(self) -> Scored | None:
        """How what the training began with does."""
        return None if self.selection is None else self.selection.before

    def recipe(self, run: Any) -> str:
        """The settings that are not the defaults, as YAML.

        Args:
            run: the section that stands in the place of the trial's own.
        """
        settings = self.config["fit"].clone()
        settings["run"], settings["ckpt_path"] = run, None
        if settings["trainer"]["devices"] == "auto" and torch.cuda.device_count() > 1:
            # All of them would see as many photos a step each as one did here.
            settings["trainer"]["devices"] = 1
        return str(self._parser("fit").dump(settings, skip_default=True, skip_validation=True))


class _Watch(pl.Callback):
    """Reports after an epoch was judged; stands behind what judges."""

    def __init__(self, unfreeze: Unfreeze, report: Report) -> None:
        self._unfreeze = unfreeze
        self._report = report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report how the weights themselves did, without averages and the like, which come at the end of a phase."""
        done = trainer.current_epoch + 1
        epochs = trainer.max_epochs or done
        if self._unfreeze.losses and done >= _JUDGED_FROM * epochs:
            self._report(done, min(_finite(loss) for loss in self._unfreeze.losses), done < epochs)


def loss_of(scored: Scored) -> float:
    """Its log-loss; :data:`DIVERGED` where it is no number."""
    return _finite(scored.log_loss)


def _finite(loss: float) -> float:
    return loss if loss < DIVERGED else DIVERGED
