"""A trainer for the tests that train for seconds, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl


def quick_trainer(folder: Path, epochs: int, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    """On the CPU, without logs, checkpoints and bars."""
    return pl.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
