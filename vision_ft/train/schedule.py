"""What trains when, and how fast: a pure function of the epoch and of the validation losses so far.

Nothing here is stepped and nothing is remembered, so a resumed run is where it would have been.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vision_ft.errors import ConfigError, nearest

_HEAD_EPOCHS = 2


@dataclass(frozen=True)
class Phase:
    """Some epochs in which some stages train.

    Attributes:
        epochs: how many.
        stages: names; or ``all``; or a number, the head and the stages below it counted downwards.
        lr: the learning rate of the topmost stage that trains.
        layer_decay: each stage further down learns this many times as fast as the one above it.
        warmup: the share of the phase in which rates rise from 0.
        final_lr: the share of ``lr`` that is left at the end of the phase, reached along a cosine.
        lora: the rank of low-rank adapters that train in the place of the stages' weights; 0 for the weights. The head
            trains itself.
    """

    epochs: int
    stages: list[str] | int | Literal["all"]
    lr: float
    layer_decay: float = 1.0
    warmup: float = 0.0
    final_lr: float = 1.0
    lora: int = 0


@dataclass(frozen=True)
class Gradual:
    """The rule: one stage more every few epochs, from the head down.

    After ULMFiT (Howard and Ruder, https://arxiv.org/abs/1801.06146): gradual unfreezing with discriminative rates.

    Attributes:
        head_epochs: epochs of the head alone before; if not given, none where the head was trained to its optimum, and
            2 where it was not.
        every: epochs between one stage and the next.
        until: how many stages below the head are unfrozen in the end; all for null.
        head_lr: learning rate while the head trains alone.
        lr: learning rate of the topmost stage afterwards.
        layer_decay: each stage further down learns this many times as fast as the one above it.
        final_epochs: epochs with everything that was unfrozen, at the end; ``every`` if not given.
        final_lr: the share of ``lr`` that is left at the end of the last phase, reached along a cosine.
    """

    head_epochs: int | None = None
    every: int = 1
    until: int | None = 3
    head_lr: float = 3e-3
    lr: float = 2e-4
    layer_decay: float = 0.7
    final_epochs: int | None = None
    final_lr: float = 0.02

    def faults(self) -> list[str]:
        """What is out of range, in words."""
        checks = [
            (self.head_epochs is None or self.head_epochs >= 0, "head_epochs", self.head_epochs, "0 or more"),
            (self.every >= 1, "every", self.every, "1 or more"),
            (self.until is None or self.until >= 0, "until", self.until, "0 or more"),
            (0 < self.head_lr < math.inf, "head_lr", self.head_lr, "above 0"),
            (0 < self.lr < math.inf, "lr", self.lr, "above 0"),
            (0 < self.layer_decay <= 1, "layer_decay", self.layer_decay, "above 0 and at most 1"),
            (self.final_epochs is None or self.final_epochs >= 1, "final_epochs", self.final_epochs, "1 or more"),
            (0 <= self.final_lr <= 1, "final_lr", self.final_lr, "in [0, 1]"),
        ]
        return [f"unfreeze.gradual.{name} is {value:g}, must be {fit}" for fine, name, value, fit in checks if not fine]

    def phases(self, stages: int, *, head_fitted: bool = True) -> list[Phase]:
        """The rule spelt out.

        Args:
            stages: how many the network has, the head included.
            head_fitted: whether the head is at its optimum when the phases begin.
        """
        alone = (0 if head_fitted else _HEAD_EPOCHS) if self.head_epochs is None else self.head_epochs
        below = stages - 1 if self.until is None else min(self.until, stages - 1)
        last = self.every if self.final_epochs is None else self.final_epochs
        head = [Phase(alone, 1, self.head_lr, warmup=0.1, final_lr=0.1)] if alone else []
        return head + [
            Phase(
                epochs=last if count == below else self.every,
                stages=count + 1,
                lr=self.lr,
                layer_decay=self.layer_decay,
                warmup=0.1,
                final_lr=self.final_lr if count == below else 1.0,
            )
            for count in range(1, below + 1)
        ]


@dataclass(frozen=True)
class State:
    """What holds at one moment.

    Attributes:
        phase: the number of the phase, from 0.
        rates: the learning rate of each stage that trains; the others are frozen.
        adapters: whether adapters train in the place of the stages' weights.
    """

    phase: int
    rates: dict[str, float]
    adapters: bool = False


class Schedule:
    """Phases resolved against the stages of a network."""

    def __init__(self, phases: Sequence[Phase], stages: Sequence[str], patience: int | None = None) -> None:
        """Check the phases.

        Args:
            phases: in order; with none, nothing trains.
            stages: the network's, from the bottom to the head.
            patience: a phase ends early after so many epochs without a new lowest validation loss within it.

        Raises:
            ConfigError: names every fault of every phase, and the stages there are.
        """
        self._phases = tuple(phases)
        self._patience = patience
        self._stages = tuple(stages)
        self._trained: list[tuple[str, ...]] = []
        faults = []
        for number, phase in enumerate(phases):
            names, wrong = _resolve(phase.stages, stages)
            wrong += _out_of_range(phase)
            if phase.lora and not wrong and names == tuple(stages[-1:]):
                wrong.append("lora is set, but the head alone trains, and has no adapters")
            self._trained.append(names)
            faults += [f"unfreeze.phases[{number}]: {fault}" for fault in wrong]
        ranks = sorted({phase.lora for phase in phases if phase.lora})
        if len(ranks) > 1:
            faults.append(
                f"unfreeze.phases: lora is {' and '.join(map(str, ranks))}; adapters have one rank in all phases"
            )
        if faults:
            raise ConfigError(f"{'; '.join(faults)}. The stages, from the bottom: {', '.join(stages)}")

    @property
    def lora(self) -> tuple[tuple[str, ...], int] | None:
        """The stages that have adapters in some phase, and their rank; ``None`` if there are none."""
        phases = [(names, phase.lora) for names, phase in zip(self._trained, self._phases, strict=True) if phase.lora]
        if not phases:
            return None
        adapted = {name for names, _ in phases for name in names}
        return tuple(name for name in self._stages[:-1] if name in adapted), phases[0][1]

    def check_adapters(self, adapted: Sequence[str]) -> None:
        """Refuse a phase with adapters in which nothing would train.

        Args:
            adapted: the stages that have some.

        Raises:
            ConfigError: names the phase.
        """
        for number, (phase, names) in enumerate(zip(self._phases, self._trained, strict=True)):
            if phase.lora and not {*adapted, self._stages[-1]} & set(names):
                raise ConfigError(
                    f"unfreeze.phases[{number}]: no layer of {', '.join(names)} takes an adapter; train without lora"
                )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases, in order."""
        return self._phases

    def relative_rates(self, phase: int) -> dict[str, float]:
        """For each stage that trains in a phase, counted from 0, its rate as a share of the topmost one's."""
        decay = self._phases[phase].layer_decay
        return {stage: decay**depth for depth, stage in enumerate(reversed(self._trained[phase]))}

    @property
    def epochs(self) -> int:
        """How many epochs all phases take at most."""
        return sum(phase.epochs for phase in self._phases)

    def begins(self, losses: Sequence[float] = ()) -> list[int]:
        """The epoch in which each phase begins, and at the end the one after the last phase.

        Args:
            losses: the validation loss after each epoch so far; they matter where there is a patience.
        """
        begins = [0]
        for phase in self._phases:
            end = begins[-1] + phase.epochs
            begins.append(end if self._patience is None else _plateau(losses, begins[-1], end, self._patience))
        return begins

    def at(self, epoch: float, losses: Sequence[float] = ()) -> State:
        """What holds at a moment.

        Args:
            epoch: from 0; 1.5 is the middle of the second epoch. Beyond the last phase, its end holds.
            losses: as in :meth:`begins`.
        """
        if not self._phases:
            return State(phase=0, rates={})
        begins = self.begins(losses)
        number = max(number for number, begin in enumerate(begins[:-1]) if begin <= epoch)
        phase = self._phases[number]
        factor = _factor(phase, min(1.0, (epoch - begins[number]) / phase.epochs))
        return State(
            phase=number,
            rates={stage: phase.lr * factor * share for stage, share in self.relative_rates(number).items()},
            adapters=phase.lora > 0,
        )

    def describe(self) -> list[str]:
        """A line a phase, for people."""
        lines, start = [], 0
        for phase, names in zip(self._phases, self._trained, strict=True):
            end = start + phase.epochs
            epochs = f"epoch {end}" if phase.epochs == 1 else f"epochs {start + 1} to {end}"
            how = f" by adapters of rank {phase.lora}" if phase.lora else ""
            lines.append(f"{epochs}: {', '.join(reversed(names))}{how} at {phase.lr:g}")
            start = end
        return lines


def _plateau(losses: Sequence[float], begin: int, end: int, patience: int) -> int:
    """The epoch after which a phase that may last until ``end`` has stopped getting better."""
    lowest, since = math.inf, 0
    for epoch, loss in enumerate(losses[begin:end], start=begin):
        lowest, since = (loss, 0) if loss < lowest else (lowest, since + 1)
        if since == patience:
            return epoch + 1
    return end


def _resolve(wanted: list[str] | int | str, stages: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The stages meant, from the bottom up, and what is wrong with how they were named."""
    if wanted == "all":
        return tuple(stages), []
    if isinstance(wanted, int):
        if not 1 <= wanted <= len(stages):
            return (), [f"stages is {wanted}, must be between 1 and {len(stages)}"]
        return tuple(stages[len(stages) - wanted :]), []
    names = [wanted] if isinstance(wanted, str) else wanted
    wrong = [f"no stage {name!r}{nearest(name, stages)}" for name in names if name not in stages]
    if not names:
        wrong.append("names no stage")
    wrong += [f"names {name!r} twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    return tuple(stage for stage in stages if stage in names), wrong


def _out_of_range(phase: Phase) -> list[str]:
    checks = [
        (phase.epochs >= 1, f"epochs is {phase.epochs}, must be 1 or more"),
        (phase.lr > 0 and math.isfinite(phase.lr), f"lr is {phase.lr:g}, must be above 0"),
        (0 < phase.layer_decay <= 1, f"layer_decay is {phase.layer_decay:g}, must be above 0 and at most 1"),
        (0 <= phase.warmup < 1, f"warmup is {phase.warmup:g}, must be in [0, 1)"),
        (0 <= phase.final_lr <= 1, f"final_lr is {phase.final_lr:g}, must be in [0, 1]"),
        (phase.lora >= 0, f"lora is {phase.lora}, must be 0 or more"),
    ]
    return [fault for fine, fault in checks if not fine]


def _factor(phase: Phase, progress: float) -> float:
    """How much of a phase's rate holds after a share of it: a linear rise, then half a cosine."""
    if progress < phase.warmup:
        return progress / phase.warmup
    left = (progress - phase.warmup) / (1 - phase.warmup)
    return phase.final_lr + (1 - phase.final_lr) * (1 + math.cos(math.pi * left)) / 2
