"""What a run leaves on the disk to go on from, whenever and however it is ended."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from vision_ft.errors import CheckpointError
from vision_ft.model.checkpoint import DATA
from vision_ft.model.classifier import Classifier
from vision_ft.train.memory import rescale_batches
from vision_ft.train.run import RunFolder, point_latest
from vision_ft.train.stop import Stop


class WholeFiles(TorchCheckpointIO):
    """Checkpoints appear whole or not at all: written beside their place, and then moved there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; one of the same name stays until this one is complete."""
        with _replacing(Path(path)) as unfinished, unfinished.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


class _replacing:  # noqa: N801 - reads as what it does
    """A name to write under; it takes the place of the file when the block ends well, and is gone when it does not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")

    def __enter__(self) -> Path:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self._unfinished

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink(missing_ok=True)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a checkpoint; the copy appears whole or not at all."""
    with _replacing(target) as unfinished:
        shutil.copyfile(source, unfinished)


class OneFolder(pl.Callback):
    """Lets all processes of a run have the folder that the first of them made."""

    def __init__(self, folder: RunFolder) -> None:
        """Take the folder as this process knows it."""
        self._folder = folder

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Hear from the first process; it is the earliest that they meet."""
        self._folder.path = trainer.strategy.broadcast(self._folder.path)


class LastCheckpoint(Checkpoint):
    """Keeps the newest state to resume from: every so many steps, after every epoch, and where it is told to stop.

    Resuming from it gives, on a CPU, the same weights bit for bit as not having stopped.
    """

    def __init__(self, folder: RunFolder, every: int, resumed: Path | None, stop: Stop) -> None:
        """Write to the run's folder.

        Args:
            folder: of this run.
            every: steps of the optimizer between one checkpoint and the next.
            resumed: the checkpoint that this run goes on from.
            stop: says when somebody asked for the run to end.
        """
        self._folder = folder
        self._every = every
        self._resumed = resumed
        self._stop = stop
        self._step = 0
        self._begun = False
        # Where Lightning's loops stood after the last step of the epoch, while what follows on it is not yet done.
        self._after_last_step: dict[str, Any] | None = None

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on at the same photo where a batch has another number of them now.

        Raises:
            CheckpointError: that would be in the middle of a batch.
        """
        now = trainer.datamodule.batch_size  # type: ignore[attr-defined]
        before = checkpoint.get(DATA, {}).get("batch_size", now)
        if before != now and not rescale_batches(checkpoint["loops"]["fit_loop"], before, now):
            raise CheckpointError(
                f"--ckpt_path: data.batch_size is {now}, and was {before} when that checkpoint was written, in the "
                f"middle of an epoch; resume with {before}, or a number that divides it"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave something to resume from before the first step."""
        self._step = trainer.global_step
        if self._resumed is None:
            self._save(trainer)
        self._begin(trainer)
        # Lightning has put a handler of its own in front by now.
        self._stop.listen()
        self._stop.waits = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint where one is due; stop if told to."""
        stepped, self._step = trainer.global_step != self._step, trainer.global_step
        if batch_idx + 1 == trainer.num_training_batches:
            self._after_last_step = _epoch_over(trainer.fit_loop.state_dict())
        elif not stepped:
            # Gradients that are being gathered are in no checkpoint.
            return
        asked = self._asked(trainer)
        if asked or (stepped and trainer.global_step % self._every == 0):
            self._save(trainer)
        if asked:
            self._stop.end()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any) -> None:
        """Stop if told to, as of the last step of the epoch: half a validation is none."""
        if not trainer.sanity_checking:
            self.pause(trainer)

    def pause(self, trainer: pl.Trainer) -> None:
        """Stop if told to, in the middle of what follows on the last step of an epoch.

        In the middle of an epoch, or between two, it waits for the next step, of which there is something to save. On
        several devices the run goes on to where all of them meet: one may have a batch more to judge than another.
        """
        if trainer.world_size == 1 and self._after_last_step is not None and self._asked(trainer):
            self._save(trainer)
            self._stop.end()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """What follows on an epoch's last step is done anew by a run that is resumed in the middle of it."""
        if self._after_last_step is not None:
            checkpoint["loops"]["fit_loop"] = self._after_last_step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a checkpoint: this epoch is done."""
        self._after_last_step = None
        self._save(trainer)
        if self._asked(trainer):
            self._stop.end()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on, a signal ends the command at once."""
        self._stop.waits = False
        self._begin(trainer)
        # A run that was resumed after its last step has trained nothing since that could have ended the count.
        cast(Classifier, pl_module).count_anew()
        if trainer.global_step:
            # With the scores of what was judged since the last epoch.
            self._save(trainer)
        if self._stop.asked:
            self._stop.end()

    def _asked(self, trainer: pl.Trainer) -> bool:
        # Every process of the run must come to the same answer, or one would wait for the others for ever.
        return bool(trainer.strategy.reduce_boolean_decision(self._stop.asked, all=False))

    def _save(self, trainer: pl.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self._folder.last)

    def _begin(self, trainer: pl.Trainer) -> None:
        """Let ``latest`` point to this run now that it has begun: what could not be resumed takes nobody's place."""
        if trainer.is_global_zero and not self._begun and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            if self._resumed is not None:
                copy_whole(self._resumed, self._folder.last)
            point_latest(self._folder)
        self._begun = True


def _epoch_over(loops: dict[str, Any]) -> dict[str, Any]:
    """Lightning's progress after the last step of an epoch, as if what follows on it were done.

    Resumed from its own, Lightning goes on with the next epoch without counting it as begun, and is lost in the middle
    of that one when it is resumed once more.
    """
    over = copy.deepcopy(loops)
    for span in ("total", "current"):
        over["epoch_progress"][span]["processed"] += 1
        batches = over["epoch_loop.batch_progress"][span]
        batches["completed"] = batches["processed"]
    over["epoch_loop.state_dict"]["_batches_that_stepped"] += 1
    return over
