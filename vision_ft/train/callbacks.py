"""What a person sees of a run."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.cli import SaveConfigCallback
from rich.console import Console

from vision_ft.train.run import RunFolder
from vision_ft.train.unfreeze import Unfreeze


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


def console_of(trainer: pl.Trainer, console: Console) -> Console:
    """Where to print: above the bar while one is shown, and to the console otherwise."""
    bar = trainer.progress_bar_callback
    return (bar.console() if isinstance(bar, ProgressBar) else None) or console


class KeepConfig(SaveConfigCallback):
    """Writes the resolved settings into the run's folder; Lightning would where the first logger has a place."""

    def __init__(self, *args: Any, folder: RunFolder, **kwargs: Any) -> None:
        """Take the folder besides what Lightning gives."""
        super().__init__(*args, **kwargs)
        self.save_to_log_dir = False
        self._folder = folder

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write them; of several processes in the first."""
        self.parser.save(self.config, self._folder.config, skip_none=False, multifile=False)


class EpochLines(pl.Callback):
    """One line an epoch that stays: what trained, how it scores, how long it took."""

    def __init__(self, unfreeze: Unfreeze, console: Console) -> None:
        """Print to a console; the schedule says what trains."""
        self._unfreeze = unfreeze
        self._console = console
        self._start = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; the start of an epoch that is resumed within is not announced."""
        self._start = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line; Lightning has validated by now."""
        # All devices ask for the figures, as they are gathered from all.
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not trainer.is_global_zero:
            return
        schedule = self._unfreeze.schedule(pl_module.network.stages)  # type: ignore[union-attr, arg-type]
        trained = list(schedule.at(trainer.current_epoch, self._unfreeze.losses).rates)
        which = " to ".join(dict.fromkeys([*trained[:1], *trained[-1:]])) or "nothing trained"
        shown = ", ".join(
            f"{name.replace('/', ' ')} {figures[name]:.4f}"
            for name in ("train/loss", "val/loss", "val/accuracy")
            if name in figures
        )
        seconds = time.monotonic() - self._start
        console_of(trainer, self._console).print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {which}: {shown}  ({seconds:.0f} s)",
            highlight=False,
            soft_wrap=True,
        )
