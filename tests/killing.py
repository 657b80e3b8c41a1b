"""A callback that kills its own process with SIGKILL, which no process can answer."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch

PLACES = ("before the step", "after backward", "after the step", "in validation", "while writing", "after the epoch")


class KillAt(pl.Callback):
    """Kills at a place of an epoch's batch; in validation and after the epoch whichever batch it is."""

    def __init__(self, epoch: int, batch: int, place: str) -> None:
        self._at = (epoch, batch)
        self._epoch = epoch
        self._place = place

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self._now = (trainer.current_epoch, batch_idx)
        self._kill_if("before the step")

    def on_after_backward(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._kill_if("after backward")

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._kill_if("after the step")
        if self._now >= self._at and self._place == "while writing":
            torch.save = self._half_a_file

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self._place == "in validation" and trainer.current_epoch >= self._epoch:
            _kill()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._place == "after the epoch" and trainer.current_epoch >= self._epoch:
            _kill()

    def _kill_if(self, place: str) -> None:
        if self._place == place and self._now >= self._at:
            _kill()

    @staticmethod
    def _half_a_file(content: Any, file: Any) -> None:
        file.write(os.urandom(1000))
        file.flush()
        _kill()


class SignalAt(pl.Callback):
    """Sends a signal to its own process in the middle of a step, and notes the step."""

    def __init__(self, number: int, epoch: int, batch: int, note: str) -> None:
        self._number = number
        self._at = (epoch, batch)
        self._note = Path(note)
        self._sent = False

    def on_after_backward(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if (trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx) == self._at:
            os.kill(os.getpid(), self._number)
        elif self._note.exists():
            self._note.write_text("a step more")

    def on_before_optimizer_step(self, trainer: pl.Trainer, *_: Any) -> None:
        if (trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx) == self._at:
            self._note.write_text("in the step")

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self._at[1] == -1 and trainer.current_epoch == self._at[0] and not self._sent:
            self._sent = True
            os.kill(os.getpid(), self._number)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class ShortOfMemory(pl.Callback):
    """Has no memory for larger batches than this from a batch of an epoch on, and says so as PyTorch does on a GPU."""

    _networks: ClassVar[list[weakref.ref[pl.LightningModule]]] = []

    def __init__(self, photos: int, epoch: int, batch: int = 0) -> None:
        self._photos = photos
        self._from = (epoch, batch)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        gc.collect()
        if any(network() is not None for network in self._networks):
            raise RuntimeError("the attempt before holds on to its memory")

    def on_after_backward(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        now = (trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx)
        if now >= self._from and trainer.datamodule.batch_size > self._photos:
            self._networks.append(weakref.ref(module))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate more than there is.")
