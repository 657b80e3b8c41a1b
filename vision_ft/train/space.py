"""What a search of settings may choose from."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vision_ft.data.presets import DEFAULT
from vision_ft.train.schedule import Phase

# How far from the given rate a search goes, up and down.
_RATE_RANGE = 5.0
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

    def as_given(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that the search begins with as choices of its own, as far as they can be said in these.

        Args:
            settings: by their dotted names, without those that are null.
        """
        last = self.given[-1]
        mixed = (settings.get("model.mixup"), settings.get("model.cutmix"))
        order = {1: _TOGETHER, 2: _IN_TWO}.get(len(self.given))
        depth = self.stages if last.stages == "all" else last.stages
        augment = settings.get("data.augment")
        values = {
            "lr": last.lr,
            "layer_decay": last.layer_decay,
            "stages": depth if isinstance(depth, int) else None,
            "epochs": sum(phase.epochs for phase in self.given),
            "order": order,
            "augment": DEFAULT if augment is None else augment,
            "mixing": next((name for name, both in _MIXED.items() if both == mixed), None),
            **{
                name: settings.get(f"model.{name}")
                for name in ("weight_decay", "label_smoothing", "dropout", "drop_path")
            },
        }
        return {name: value for name, value in values.items() if value is not None}

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


class Known:
    """Chooses what is known already, and lets a trial remember it; the rest is of no account.

    So that proposals begin near settings that somebody had a reason for.
    """

    def __init__(self, chooser: Chooser, known: Mapping[str, Any]) -> None:
        """Take the trial and the values."""
        self._chooser = chooser
        self._known = known

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number in the range."""
        value = self._known.get(name)
        if not isinstance(value, (int, float)) or not low <= value <= high:
            return low
        if step is not None and not math.isclose(round((value - low) / step) * step, value - low, abs_tol=1e-9):
            return low
        return self._chooser.suggest_float(name, low, high, step=step, log=log)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number in the range."""
        value = self._known.get(name)
        fits = isinstance(value, int) and low <= value <= high
        return self._chooser.suggest_int(name, low, high) if fits else low

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        """One of the choices."""
        return self._chooser.suggest_categorical(name, choices) if self._known.get(name) in choices else choices[0]


def arguments(chosen: Mapping[str, Any]) -> list[str]:
    """Settings as they stand on a command line."""
    given = ((name, value if isinstance(value, str) else json.dumps(value)) for name, value in chosen.items())
    return [word for name, value in given for word in (f"--{name}", value)]


def _rounded(value: float) -> float:
    """To three digits: more of a rate say nothing."""
    return float(f"{value:.3g}")
