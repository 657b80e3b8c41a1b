"""Where in its photos a run is, and how many processes read them."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from vision_ft.machine import usable_cores

_MOST_WORKERS = 16


def reached(trainer: pl.Trainer) -> tuple[int, int]:
    """How many epochs a run has done, and how many batches of the next; not 0 only for one that is resumed."""
    # ``current_epoch`` lags behind while a run is being resumed.
    epochs: Any = trainer.fit_loop.epoch_progress.current
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress
    if epochs.started == epochs.processed:
        return epochs.processed, 0
    return epochs.processed, batches.current.processed


def fitting_workers(device: str, world_size: int) -> int:
    """How many processes read photos for one device.

    For a CPU none: whatever they do they take from the computing, and its own threads read faster between two steps.
    For another device, all cores that it has but one.
    """
    if device == "cpu":
        return 0
    return min(_MOST_WORKERS, max(1, usable_cores() // world_size - 1))
