"""What happens around an epoch: the best weights are kept, and a line is printed."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console
from torch import Tensor

from vision_ft.train.run import RunFolder, point_latest
from vision_ft.train.unfreeze import Unfreeze

_log = logging.getLogger(__name__)


class _EpochCheckpoint(ModelCheckpoint):
    """A single file, written at the end of an epoch and nowhere else.

    A checkpoint that Lightning writes at the end of validation, its default, counts the epoch as not yet done, and the
    resumed run draws the photos of that epoch once more.
    """

    def __init__(self, path: Path, monitor: str | None) -> None:
        super().__init__(
            dirpath=path.parent,
            filename=path.stem,
            monitor=monitor,
            mode="min",
            save_top_k=1,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )


class LastCheckpoint(_EpochCheckpoint):
    """Keeps the newest weights, to resume from. Lightning's own ``save_last`` keeps the newest of the best."""

    def __init__(self, folder: RunFolder) -> None:
        """Write to the run's folder."""
        super().__init__(folder.last, monitor=None)
        self._folder = folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let ``latest`` point to this run, now that it has begun: what could not be resumed takes nobody's place."""
        super().on_train_start(trainer, pl_module)
        if trainer.is_global_zero:
            point_latest(self._folder)


class BestCheckpoint(_EpochCheckpoint):
    """Keeps the weights with the lowest validation log-loss.

    A resumed run has a folder of its own. The best of the run before comes along as a copy, for the resumed run may
    not find a better one.
    """

    def __init__(self, folder: RunFolder, resumed: Path | None) -> None:
        """Write to the run's folder.

        Args:
            folder: of this run.
            resumed: the checkpoint that this run goes on from.
        """
        super().__init__(folder.best, monitor="val/loss")
        self._best = folder.best.resolve()
        self._resumed = resumed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best of the run that is resumed."""
        # Beside the checkpoint that was named first: a run that was moved still says where it once lay.
        beside = [self._resumed.with_name(self._best.name)] if self._resumed is not None else []
        stored = [Path(path)] if (path := state_dict.get("best_model_path")) else []
        before = next((path for path in (*beside, *stored) if path.is_file()), None)
        score: Tensor | None = state_dict.get("best_model_score")
        known = before is not None and score is not None
        if before is not None:
            self._copy(before)
        here = str(self._best) if known else ""
        super().load_state_dict(
            {
                **state_dict,
                "dirpath": str(self.dirpath),
                "best_model_path": here,
                "best_model_score": score if known else None,
                "best_k_models": {here: score} if known else {},
                "kth_best_model_path": here,
                "kth_value": score if known else torch.tensor(torch.inf),
            }
        )
        if not known:
            _log.warning("the best checkpoint of the resumed run is gone; the best is sought among what follows")

    @rank_zero_only
    def _copy(self, before: Path) -> None:
        self._best.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(before, self._best)


class ProgressBar(RichProgressBar):
    """Lightning's bar on standard error, so that standard output is for results; epochs are counted from 1."""

    def __init__(self) -> None:
        """Leave no bars behind; :class:`EpochLines` says what is worth keeping."""
        super().__init__(leave=False, console_kwargs={"stderr": True})

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"

    def console(self) -> Console | None:
        """What to print to while the bar is shown: what goes elsewhere ends up in the middle of it."""
        return self.progress.console if self.progress is not None else None


class EpochLines(pl.Callback):
    """One line an epoch that stays: what trained, how it scores, how long it took."""

    def __init__(self, unfreeze: Unfreeze, console: Console) -> None:
        """Print to a console; the schedule says what trains."""
        self._unfreeze = unfreeze
        self._console = console
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line; Lightning has validated by now."""
        if not trainer.is_global_zero:
            return
        schedule = self._unfreeze.schedule(pl_module.network.stages)  # type: ignore[union-attr, arg-type]
        trained = list(schedule.at(trainer.current_epoch).rates)
        which = trained[0] if len(trained) == 1 else f"{trained[0]} to {trained[-1]}"
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        shown = ", ".join(
            f"{name.replace('/', ' ')} {figures[name]:.4f}"
            for name in ("train/loss", "val/loss", "val/accuracy")
            if name in figures
        )
        seconds = time.monotonic() - self._start
        bar = trainer.progress_bar_callback
        console = (bar.console() if isinstance(bar, ProgressBar) else None) or self._console
        console.print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {which}: {shown}  ({seconds:.0f} s)",
            highlight=False,
            soft_wrap=True,
        )
