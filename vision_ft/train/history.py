"""What happened when: what trained, how it did, how long it took and how much memory, for the report of the run."""

from __future__ import annotations

import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from vision_ft.data.listing import TRAIN
from vision_ft.machine import usable_cores
from vision_ft.run_folder import RunFolder
from vision_ft.train.memory import process_peak
from vision_ft.train.unfreeze import Unfreeze

# By Lightning's names.
_FIGURES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


class History(pl.Callback):
    """Writes ``history.json`` when a run ends; a run that is resumed goes on with what the one before took down.

    Stands in front of the callbacks whose time it takes.
    """

    def __init__(self, folder: RunFolder, unfreeze: Unfreeze) -> None:
        """Take down a run.

        Args:
            folder: of the run.
            unfreeze: says what trains.
        """
        self._folder = folder
        self._unfreeze = unfreeze
        self._epochs: list[dict[str, Any]] = []
        self._head_seconds: float | None = None
        self._seconds_before = 0.0
        self._begun = self._epoch_begun = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What was taken down so far."""
        return {"epochs": list(self._epochs), "head": self._head_seconds, "seconds": self._seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with that of the run that is resumed."""
        self._epochs, self._head_seconds = list(state_dict["epochs"]), state_dict["head"]
        self._seconds_before = state_dict["seconds"]

    @property
    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._begun

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._begun = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The head is done."""
        self._epoch_begun = time.monotonic()
        if self._head_seconds is None:
            self._head_seconds = self._epoch_begun - self._begun

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._epoch_begun = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take down an epoch; Lightning has validated by now."""
        # All devices ask for the figures, as they are gathered from all.
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name in _FIGURES}
        schedule = self._unfreeze.schedule(pl_module.network.stages)  # type: ignore[union-attr, arg-type]
        state = schedule.at(trainer.current_epoch, self._unfreeze.losses)
        epoch = trainer.current_epoch + 1
        self._epochs = [one for one in self._epochs if one["epoch"] < epoch]
        self._epochs.append(
            {
                "epoch": epoch,
                "phase": state.phase + 1,
                "stages": list(state.rates),
                "lr": schedule.phases[state.phase].lr if schedule.phases else None,
                **{name.replace("/", "_"): _finite(value) for name, value in figures.items()},
                "seconds": time.monotonic() - self._epoch_begun,
                "photos": _photos(trainer),
            }
        )

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it; of several processes the first."""
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            _write(self._folder.history, self._record(trainer))

    def _record(self, trainer: pl.Trainer) -> dict[str, Any]:
        device = trainer.strategy.root_device
        on_gpu = device.type == "cuda"
        return {
            "epochs": self._epochs,
            "head_seconds": self._head_seconds,
            "seconds": self._seconds,
            "device": torch.cuda.get_device_name(device) if on_gpu else _processor(),
            "devices": trainer.world_size,
            "precision": str(trainer.precision),
            "memory": process_peak(),
            "device_memory": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        }


def _photos(trainer: pl.Trainer) -> int:
    """How many an epoch goes through: all of them, unless it is cut short."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    most = int(trainer.num_training_batches) * int(data.batch_size) * trainer.world_size
    return min(len(data.manifest.part(TRAIN)), most)


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None


def _processor() -> str:
    return f"{usable_cores()} CPU cores ({platform.machine()})"
