"""Trying out learning rates and batch sizes, phase by phase."""

from __future__ import annotations

import copy
import gc
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Self

import numpy as np
import psutil
import torch

from vision_ft.train.memory import is_out_of_memory
from vision_ft.train.prepared import Prepared

LOWEST, HIGHEST = 1e-6, 1.0
# How much of the past a smoothed loss holds on to; and, as shares of the loss without training, how far it may rise
# before the trial ends, and how far it must have fallen for a rate to be worth naming.
_SMOOTH, _DIVERGED, _FALLEN = 0.9, 1.0, 0.02
# Steps at a batch size: the first few are not like those that follow.
_WARM, _TIMED = 1, 3
# The share of free memory that twice the batch may be expected to take.
_MOST_MEMORY = 0.8
# Seconds between two looks at the memory of the process.
_LOOK_EVERY = 0.002
# A batch that is this near to the fastest is as good, and smaller.
_AS_FAST = 0.95


@dataclass(frozen=True)
class Rates:
    """What came of trying learning rates in a phase.

    Attributes:
        phase: its number, from 1.
        rates: of its topmost stage, rising.
        losses: how far the training loss is from what it would be without training, on the same views, smoothed.
        configured: the phase's own rate.
        suggested: where the loss falls fastest; ``None`` where it does not fall.
    """

    phase: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    configured: float
    suggested: float | None


@dataclass(frozen=True)
class BatchSize:
    """What came of a batch size in a phase.

    Attributes:
        phase: its number, from 1.
        photos: a batch.
        photos_per_second: of training steps alone; ``None`` where it does not fit into memory.
        memory: what the steps took at most beyond what was there before, in bytes.
    """

    phase: int
    photos: int
    photos_per_second: float | None
    memory: int | None


def try_rates(cli: Prepared, steps: int) -> Iterator[Rates]:
    """Raise the learning rate step by step in each phase, and watch the training loss.

    The range test of Smith (https://arxiv.org/abs/1506.01186), over the phases: each begins with the head at its
    optimum and the backbone as it was pretrained, and its stages have the rates that its layer decay gives them. What
    is watched is the difference to the loss that the network of the start has on the same views: from one batch to the
    next a loss changes more by the photos than by what was learnt.

    Args:
        cli: its network has its head at the optimum afterwards, and is as before otherwise.
        steps: at most so many in each phase.
    """
    cli.to_device()
    start = copy.deepcopy(cli.model.state_dict())
    for number, phase in enumerate(cli.schedule.phases):
        cli.model.load_state_dict(start)
        optimizer = cli.enter(number)
        untrained = copy.deepcopy(cli.model)
        relative = cli.schedule.relative_rates(number)
        rates: list[float] = []
        losses: list[float] = []
        average = level = 0.0
        for step, batch in enumerate(islice(cli.batches(), steps)):
            rate = LOWEST * (HIGHEST / LOWEST) ** (step / max(1, steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = rate * relative.get(group["stage"], 0.0)
            # What is random in a step is the same in both.
            torch.manual_seed(step)
            with torch.no_grad():
                before = cli.loss(batch, untrained)
            torch.manual_seed(step)
            difference = cli.step(batch, optimizer) - float(before)
            average = _SMOOTH * average + (1 - _SMOOTH) * difference
            level += (float(before) - level) / (step + 1)
            rates.append(rate)
            losses.append(average / (1 - _SMOOTH ** (step + 1)))
            if not math.isfinite(average) or losses[-1] > _DIVERGED * level:
                break
        yield Rates(number + 1, tuple(rates), tuple(losses), phase.lr, suggest(rates, losses, level))
    cli.model.load_state_dict(start)


def suggest(rates: Sequence[float], losses: Sequence[float], level: float) -> float | None:
    """The rate at which the smoothed loss falls fastest, before it is lowest.

    Args:
        rates: rising.
        losses: at each of them, how far from the loss without training.
        level: that loss.

    Returns:
        ``None`` where it never falls clearly below that.
    """
    known = [loss if math.isfinite(loss) else math.inf for loss in losses]
    lowest = int(np.argmin(known))
    if lowest < 2 or known[lowest] > -_FALLEN * level:
        return None
    slopes = np.gradient(np.asarray(known[: lowest + 1]), np.log(rates[: lowest + 1]))
    return float(rates[int(np.argmin(slopes))])


def try_batches(cli: Prepared, most: int) -> Iterator[BatchSize]:
    """Train a few steps with ever larger batches in each phase, until memory is short.

    Args:
        cli: its network is as before afterwards.
        most: photos a batch at most.
    """
    cli.model.to(cli.device)
    start = copy.deepcopy(cli.model.state_dict())
    for number in range(len(cli.schedule.phases)):
        # BatchNorm that trains cannot work on a single photo.
        photos = 2
        while photos <= most:
            cli.model.load_state_dict(start)
            found = _try_batch(cli, number, photos)
            yield found
            if found.photos_per_second is None or not _fits_twice(cli, found):
                break
            photos *= 2
    cli.model.load_state_dict(start)


def best_batch(tried: Sequence[BatchSize]) -> int | None:
    """The smallest batch that is nearly as fast as the fastest, of those that fit in every phase."""
    phases = {one.phase for one in tried}
    fits = [one for one in tried if one.photos_per_second is not None]
    common = sorted({one.photos for one in fits if phases == {two.phase for two in fits if two.photos == one.photos}})
    speed = {
        photos: 1 / sum(1 / (one.photos_per_second or math.inf) for one in fits if one.photos == photos)
        for photos in common
    }
    return next((photos for photos in common if speed[photos] >= _AS_FAST * max(speed.values())), None)


def _try_batch(cli: Prepared, phase: int, photos: int) -> BatchSize:
    optimizer = cli.enter(phase)
    cli.datamodule.use_batch_size(photos)
    gc.collect()
    with _Peak(cli.device) as peak:
        try:
            batch = next(cli.batches())
            for step in range(_WARM + _TIMED):
                if step == _WARM:
                    began = time.perf_counter()
                cli.step(batch, optimizer)
            seconds = time.perf_counter() - began
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return BatchSize(phase + 1, photos, None, None)
    return BatchSize(phase + 1, photos, _TIMED * len(batch.labels) / seconds, peak.bytes)


def _fits_twice(cli: Prepared, found: BatchSize) -> bool:
    """Whether twice the batch may be tried: on a CPU, the system would rather kill than refuse."""
    if cli.device.type == "cuda" or found.memory is None:
        return True
    return 2 * found.memory < _MOST_MEMORY * int(psutil.virtual_memory().available)


class _Peak:
    """How much memory is taken at most while a block lasts, beyond what was taken before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self.bytes = 0

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._before = _resident()
            self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self._device) - self._before
        else:
            self._over.set()
            self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            self.bytes = max(self.bytes, _resident() - self._before)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)
