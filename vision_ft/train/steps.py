"""What happens around a step: its random numbers, and the average of the weights after it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vision_ft.errors import ConfigError
from vision_ft.model.network import Network

State = dict[str, torch.Tensor]


class StepSeed(pl.Callback):
    """What is random in a step (dropout, stochastic depth, MixUp) hangs on the seed, the step and the device alone.

    Nothing of it needs to be stored: a run that is resumed at a step draws what it would have drawn there.
    """

    def __init__(self, seed: int) -> None:
        """Take the run's seed."""
        self._seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed torch's random numbers."""
        place = (self._seed, trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))


class StopAt(pl.Callback):
    """Ends the run after so many steps of the optimizer.

    Lightning's own ``max_steps`` counts epochs otherwise when a run is resumed, and leaves one out.
    """

    def __init__(self, steps: int) -> None:
        """Take the number of steps."""
        self._steps = steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that is resumed may have made them all."""
        self._check(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the count."""
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if trainer.global_step >= self._steps:
            trainer.should_stop = True


class Average(pl.Callback):
    """An exponential moving average of the weights (Polyak and Juditsky 1992, https://doi.org/10.1137/0330046).

    Begins with the weights before the first step and moves with every step of the optimizer.
    """

    def __init__(self, decay: float | None = None) -> None:
        """Say how far it looks back.

        Args:
            decay: the share of the average that is kept at each step, in [0, 1); 0 for no average. If not given, it
                looks back over an epoch.

        Raises:
            ConfigError: the decay is out of range.
        """
        if decay is not None and not 0 <= decay < 1:
            raise ConfigError(f"ema.decay is {decay:g}, must be in [0, 1)")
        self._decay = decay
        self._state: State | None = None
        self._step = 0

    @property
    def weights(self) -> State | None:
        """The average as it is, by names in the network; ``None`` where there is none."""
        return self._state

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"average": self._state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the average of the run that is resumed."""
        self._state = state_dict["average"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin with the weights as they are, or go on."""
        self._step = trainer.global_step
        if self._decay == 0:
            self._state = None
            return
        now = _network(pl_module).plain_state()
        before = self._state if self._state is not None else now
        self._state = {name: before[name].to(now[name].device, copy=True) for name in now}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average, if the optimizer made a step."""
        if self._state is None or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        decay = 1 - 1 / max(1, steps) if self._decay is None else self._decay
        # All of them: what was frozen again is still on its way.
        pairs = [(self._state[name], now) for name, now in _network(pl_module).plain_state().items()]
        with torch.no_grad():
            for average, now in pairs:
                if not average.is_floating_point():
                    average.copy_(now)
            moving = [pair for pair in pairs if pair[0].is_floating_point()]
            move: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move([one for one, _ in moving], [now for _, now in moving], self._step)


def _network(module: pl.LightningModule) -> Network:
    return module.network  # type: ignore[return-value]
