"""What a search of settings may choose from."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vision_ft.train.schedule import Phase

# How far from the given rate a search goes, up and down.
_RATE_RANGE = 10.0
_LAYER_DECAY = (0.4, 1.0)
_WEIGHT_DECAY = (1e-4, 0.3)
_MIXED = {"none": (0.0, 0.0), "mixup": (0.2, 0.0), "cutmix": (0.0, 1.0), "both": (0.2, 1.0)}
_AUGMENT = ("none", "light", "medium", "strong")
_TOGETHER, _IN_TWO = "together", "in two steps"

RATES, PHASES, AUGMENT, REGULARISE = "rates", "phases", "augment", "regularise"
PARTS = (RATES, PHASES, AUGMENT, REGULARISE)


class Chooser(Protocol):
    """What Optuna calls a trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number in the range."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number in the range, both ends included."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        """One of the choices."""


@dataclass(frozen=True)
class Space:
    """The settings that are searched.

    Attributes:
        parts: out of :data:`PARTS`; the others stay as given.
        given: the phases of the settings that the search begins with.
        stages: how many the network has, the head included.
        epochs: in which a trial may train at most, where phases are searched.
        drop_path: whether the backbone can skip residual blocks.
    """

    parts: frozenset[str]
    given: tuple[Phase, ...]
    stages: int
    epochs: int
    drop_path: bool

    def choose(self, chooser: Chooser) -> dict[str, Any]:
        """Settings of one trial, by their dotted names; those that are not searched are left out."""
        chosen: dict[str, Any] = {}
        if self.parts & {RATES, PHASES}:
            chosen["unfreeze.phases"] = [dataclasses.asdict(phase) for phase in self._phases(chooser)]
            chosen["unfreeze.gradual"] = None
        if AUGMENT in self.parts:
            chosen["data.augment"] = chooser.suggest_categorical("augment", _AUGMENT)
        if REGULARISE in self.parts:
            chosen.update(self._regularise(chooser))
        return chosen

    def _phases(self, chooser: Chooser) -> list[Phase]:
        phases = self._unfreezing(chooser) if PHASES in self.parts else list(self.given)
        if RATES not in self.parts:
            return phases
        last = phases[-1].lr
        lr = _rounded(chooser.suggest_float("lr", last / _RATE_RANGE, last * _RATE_RANGE, log=True))
        decay = round(chooser.suggest_float("layer_decay", *_LAYER_DECAY), 3)
        return [dataclasses.replace(phase, lr=_rounded(phase.lr * lr / last), layer_decay=decay) for phase in phases]

    def _unfreezing(self, chooser: Chooser) -> list[Phase]:
        """How many stages are unfrozen in how many epochs: at once, or the upper half of them first."""
        last = self.given[-1]
        count = chooser.suggest_int("stages", 2, self.stages)
        epochs = chooser.suggest_int("epochs", 1, self.epochs)
        order = chooser.suggest_categorical("order", (_TOGETHER, _IN_TWO))
        whole = dataclasses.replace(last, stages=count, epochs=epochs)
        above = math.ceil(count / 2)
        if order == _TOGETHER or epochs < 2 or above < 2:
            return [whole]
        first = max(1, epochs // 3)
        return [
            dataclasses.replace(whole, stages=above, epochs=first, final_lr=1.0),
            dataclasses.replace(whole, epochs=epochs - first),
        ]

    def _regularise(self, chooser: Chooser) -> dict[str, Any]:
        mixup, cutmix = _MIXED[chooser.suggest_categorical("mixing", tuple(_MIXED))]
        chosen: dict[str, Any] = {
            "model.weight_decay": _rounded(chooser.suggest_float("weight_decay", *_WEIGHT_DECAY, log=True)),
            "model.label_smoothing": chooser.suggest_float("label_smoothing", 0.0, 0.1, step=0.05),
            "model.dropout": round(chooser.suggest_float("dropout", 0.0, 0.3, step=0.1), 1),
            "model.mixup": mixup,
            "model.cutmix": cutmix,
        }
        if self.drop_path:
            chosen["model.drop_path"] = round(chooser.suggest_float("drop_path", 0.0, 0.2, step=0.05), 2)
        return chosen


def arguments(chosen: Mapping[str, Any]) -> list[str]:
    """Settings as they stand on a command line."""
    given = ((name, value if isinstance(value, str) else json.dumps(value)) for name, value in chosen.items())
    return [word for name, value in given for word in (f"--{name}", value)]


def _rounded(value: float) -> float:
    """To three digits: more of a rate say nothing."""
    return float(f"{value:.3g}")
