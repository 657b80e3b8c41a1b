"""What a training is going to take, by a short probe before it; and what it took, beside that."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

import pytorch_lightning as pl
import torch
from rich.console import Console

from vision_ft.data.loading import Batch, PhotoDataset
from vision_ft.model.classifier import Classifier
from vision_ft.model.depthwise import quick_depthwise
from vision_ft.train.callbacks import console_of
from vision_ft.train.memory import peak_bytes
from vision_ft.train.schedule import Schedule
from vision_ft.train.unfreeze import Unfreeze

# Photos of the steps that later phases are compared with the first one by.
_FEW = 8
# A validation is a forward pass, which is about a third of a step; and what is scored besides the epochs, a phase.
_FORWARD, _SCORED = 1 / 3, 4
_GB = 1e9


class Forecast(pl.Callback):
    """Says before the first step how long the phases will take and how much memory, and in the end how it was.

    Batches of real photos go the way that batches will go: one to warm up, then another twice, as views that are new
    and as views that come again. Nothing of the network, of random numbers or of the order of photos is changed by it.
    Behind :class:`~vision_ft.train.boundary.Boundary`, which says where the network is cut.
    """

    def __init__(self, unfreeze: Unfreeze, console: Console) -> None:
        """Say nothing yet.

        Args:
            unfreeze: says what trains.
            console: to print to.
        """
        self._unfreeze = unfreeze
        self._console = console
        self._expected: tuple[float, int | None] | None = None
        self._begun = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Try a batch, and say what follows from it."""
        model = cast(Classifier, pl_module)
        schedule = self._unfreeze.schedule(model.network.stages)
        left = range(trainer.current_epoch, trainer.max_epochs or schedule.epochs)
        if trainer.fast_dev_run or model.network.compiled or not left:  # type: ignore[attr-defined]
            # What is compiled says nothing by its first steps.
            return
        seconds = self._probe(trainer, model, schedule, left)
        self._expected = seconds, peak_bytes(trainer.strategy.root_device)
        memory = "" if self._expected[1] is None else f" and {self._expected[1] / _GB:.1f} GB of memory"
        self._say(trainer, f"expected, after a short probe: {in_words(seconds)} of training{memory}")
        self._begun = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how it was."""
        if self._expected is None:
            return
        seconds, memory = self._expected
        took, peak = time.monotonic() - self._begun, peak_bytes(trainer.strategy.root_device)
        said = (
            "" if memory is None or peak is None else f", {peak / _GB:.1f} GB of memory (expected {memory / _GB:.1f})"
        )
        self._say(trainer, f"trained in {in_words(took)} (expected {in_words(seconds)}){said}")

    def _say(self, trainer: pl.Trainer, line: str) -> None:
        if trainer.is_global_zero:
            console_of(trainer, self._console).print(line, highlight=False, soft_wrap=True, markup=False)

    def _probe(self, trainer: pl.Trainer, model: Classifier, schedule: Schedule, left: Sequence[int]) -> float:
        """Seconds of all epochs that are left."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        loader: Any = trainer.train_dataloader
        photos = min(int(data.batch_size), len(loader.dataset))
        buffers = {name: buffer.clone() for name, buffer in model.network.named_buffers()}
        try:
            with torch.random.fork_rng():
                every = range(len(loader.dataset))
                first, second = every[:photos], every[-photos:]
                _, new, again = (_seconds(trainer, model, loader, rows) / photos for rows in (first, second, second))
                longer = self._longer(trainer, model, schedule, left)
        finally:
            with torch.no_grad():
                for name, buffer in model.network.named_buffers():
                    buffer.copy_(buffers[name])
            self._unfreeze.apply(model, trainer.current_epoch)
        views = data.views if data.views is not None else len(left)
        epoch = int(trainer.num_training_batches) * photos
        validation = len((trainer.val_dataloaders or data.val_dataloader()).dataset) * again * _FORWARD
        phases = {schedule.at(one, self._unfreeze.losses).phase for one in left}
        total = validation * (len(left) + _SCORED * len(phases))
        for number, one in enumerate(left):
            more = longer[schedule.at(one, self._unfreeze.losses).phase]
            total += epoch * ((new if number < views else again) + more)
        return total

    def _longer(
        self, trainer: pl.Trainer, model: Classifier, schedule: Schedule, left: Sequence[int]
    ) -> dict[int, float]:
        """By how many seconds a photo takes longer in each phase than in the first that is left: its backward pass."""
        states = {state.phase: state for state in (schedule.at(one, self._unfreeze.losses) for one in left)}
        tried = sorted(states)
        # A phase that is not tried takes as long as the next that is.
        tried = sorted({tried[0], tried[len(tried) // 2], tried[-1]})
        if len(tried) == 1:
            return dict.fromkeys(states, 0.0)
        took = {}
        pixels = model.network.noise()[:1].expand(_FEW, -1, -1, -1).to(trainer.strategy.root_device)
        for phase in tried:
            epoch = next(one for one in left if schedule.at(one, self._unfreeze.losses).phase == phase)
            self._unfreeze.apply(model, epoch)
            with quick_depthwise(pixels.device):
                took[phase] = min(_step(trainer, model, lambda: model(pixels).float().sum()) for _ in range(2)) / _FEW
        return {phase: took[next(one for one in tried if one >= phase)] - took[tried[0]] for phase in states}


def _seconds(trainer: pl.Trainer, model: Classifier, loader: Any, rows: Sequence[int]) -> float:
    """Of a step, the reading of its photos included where nobody else reads."""
    dataset: PhotoDataset = loader.dataset
    started = time.perf_counter()
    known = loader.sampler.skips
    epoch = trainer.current_epoch
    places = [(epoch, row, known is not None and known(epoch, row)) for row in rows]
    batch: Batch = dataset.collate(dataset.__getitems__(places))
    reading = time.perf_counter() - started
    if not len(batch.labels):
        return reading
    moved: Any = trainer.strategy.batch_to_device(batch)
    step = _step(trainer, model, lambda: model.loss(moved))
    return step + reading if not loader.num_workers else max(step, reading / loader.num_workers)


def _step(trainer: pl.Trainer, model: Classifier, loss: Any) -> float:
    """Seconds of a forward and a backward pass; no gradient is left behind."""
    device = trainer.strategy.root_device
    started = time.perf_counter()
    with trainer.precision_plugin.forward_context():
        found = loss()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    torch.autograd.grad(found, trained, allow_unused=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def in_words(seconds: float) -> str:
    """A time, for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
