"""Training steps and epochs, phase by phase, timed with the settings of a fit."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from vision_ft.model.network import Network
from vision_ft.model.translate import Translation
from vision_ft.model.trunk import Trunk
from vision_ft.train.eyes import ByTorch, Eyes, fastest
from vision_ft.train.precision import HALF
from vision_ft.train.prepared import Prepared
from vision_ft.train.rates import AUGMENT, DECODE, count
from vision_ft.train.stopwatch import Stopwatch

# A run is long enough for the fastest engine.
_MANY = 1 << 40


@dataclass(frozen=True)
class _Cut:
    """The network, cut where a phase begins to train, as :class:`~vision_ft.train.boundary.Boundary` cuts it."""

    network: Network
    trunk: Trunk
    boundary: int
    eyes: Eyes

    def above(self, reached: torch.Tensor) -> torch.Tensor:
        """Logits of what reached the cut."""
        there = reached.to(self.network.mean.device, self.network.mean.dtype)
        if there.ndim == 4:
            there = there.contiguous(memory_format=torch.channels_last)
        return self.trunk.above(there, self.boundary)


def time_training(cli: Prepared, watch: Stopwatch, translation: Translation) -> list[str]:
    """A step through the whole network, one from the cut, what is below it, and an epoch as ``fit`` goes through it.

    The rates are 0, and the weights stay as they are.

    Args:
        cli: the fit, its network on the device.
        watch: times.
        translation: of the network.

    Returns:
        What could not be timed, and why.
    """
    trunk = _trunk(cli)
    for number in range(len(cli.schedule.phases)):
        _time_phase(cli, watch, number, None if trunk is None else _cut(cli, trunk, number, translation))
    if trunk is None and cli.schedule.phases:
        return ["every step goes through the whole network, which is not cut with these settings"]
    return []


def _trunk(cli: Prepared) -> Trunk | None:
    """Where the network can be cut; ``None`` where ``fit`` would not."""
    settings = cli.config["fit"]
    whole = cli.model.mixes or settings["model"]["compile"] or not cli.cache.boundary
    return None if whole or str(cli.trainer.precision) == "64-true" else cli.model.network.trunk()


def _cut(cli: Prepared, trunk: Trunk, phase: int, translation: Translation) -> _Cut | None:
    """``None`` where a phase trains everything."""
    cli.enter(phase)
    network, device, boundary = cli.model.network, cli.device, trunk.boundary()
    if not boundary:
        return None
    on_cpu = device.type == "cpu"
    context: Any = nullcontext if on_cpu else cli.trainer.precision_plugin.forward_context
    by_torch = ByTorch(lambda pixels: trunk.below(network.normalised(pixels), boundary), device, context)
    eyes: Eyes = by_torch
    if on_cpu:
        parameters = sum(parameter.numel() for parameter in network.parameters())
        name = translation.boundary(boundary)
        graph = functools.partial(translation.part, name, network)
        rounded = str(cli.trainer.precision) == HALF
        eyes = fastest(by_torch, graph, network.noise(), _MANY, parameters, rounded=rounded)
    return _Cut(network, trunk, boundary, eyes)


def _time_phase(cli: Prepared, watch: Stopwatch, phase: int, cut: _Cut | None) -> None:
    optimizer, batches = cli.enter(phase), cli.batches()
    batch = next(batches)
    name = f"phase {phase + 1}"
    whole, above, below = (f"step of {name}, {what}" for what in ("whole network", "above the cut", "below the cut"))

    def step(some: Any) -> int:
        cli.step(some, optimizer)
        return len(some.labels)

    watch.time(whole, lambda: step(batch))
    made_of: tuple[str, ...] = (DECODE, AUGMENT, whole)
    if cut is not None:
        watch.time(below, functools.partial(count, cut.eyes, batch.pixels))
        reached = cut.eyes(batch.pixels)
        cli.model.shortcut = lambda *_: cut.above(reached)
        watch.time(above, lambda: step(batch))
        # On a GPU what is below runs in the step, unless views come again.
        apart = cli.device.type == "cpu"
        cli.model.shortcut = (lambda _, some: cut.above(cut.eyes(some.pixels))) if apart else None
        made_of = (DECODE, AUGMENT, below, above) if apart else made_of
    # What was read ahead must not make the first steps faster than those that follow.
    loader = cli.datamodule.train_dataloader()
    ahead = loader.num_workers * (loader.prefetch_factor or 0)
    watch.time(f"epoch of {name}", lambda: step(next(batches)), made_of, 1 + ahead)
    cli.model.shortcut = None
