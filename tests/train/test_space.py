from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from vision_ft.train.schedule import Phase, Schedule
from vision_ft.train.space import AUGMENT, PARTS, PHASES, RATES, REGULARISE, Known, Space, arguments

STAGES = ("stem", "low", "middle", "high", "head")
GIVEN = (Phase(2, 1, 0.003, lora=0), Phase(4, 3, 0.001, layer_decay=0.7, warmup=0.1, final_lr=0.02))


class AtRandom:
    """Chooses as Optuna's trials do, by chance."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.names: list[str] = []

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.names.append(name)
        if step is not None:
            return low + step * int(self._random.integers(round((high - low) / step) + 1))
        if log:
            return float(np.exp(self._random.uniform(np.log(low), np.log(high))))
        return float(self._random.uniform(low, high))

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self.names.append(name)
        return int(self._random.integers(low, high + 1))

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        self.names.append(name)
        return choices[int(self._random.integers(len(choices)))]


def space(*parts: str, **changed: Any) -> Space:
    settings = {"given": GIVEN, "stages": len(STAGES), "epochs": 6, "drop_path": True, **changed}
    return Space(parts=frozenset(parts), **settings)


def phases(chosen: dict[str, Any]) -> list[Phase]:
    return [Phase(**phase) for phase in chosen["unfreeze.phases"]]


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_chosen_is_a_schedule(seed: int) -> None:
    chosen = space(*PARTS).choose(AtRandom(seed))
    found = phases(chosen)
    # Its own checks: stages that there are, rates and shares in their ranges.
    assert 1 <= Schedule(found, STAGES).epochs <= 6
    assert all(2e-4 * 0.99 <= phase.lr <= 5e-3 * 1.01 for phase in found)
    assert chosen["unfreeze.gradual"] is None
    if len(found) == 2:
        first, second = found
        assert first.stages < second.stages
        assert (first.final_lr, second.final_lr) == (1.0, 0.02)


def test_both_orders_and_all_depths_come_up() -> None:
    found = [phases(space(*PARTS).choose(AtRandom(seed))) for seed in range(200)]
    assert {len(one) for one in found} == {1, 2}
    assert {one[-1].stages for one in found} == {2, 3, 4, 5}


def test_rates_alone_keep_the_phases() -> None:
    first, second = phases(space(RATES).choose(AtRandom(0)))
    assert [(one.epochs, one.stages, one.warmup) for one in (first, second)] == [(2, 1, 0.0), (4, 3, 0.1)]
    # In the proportion in which they were given.
    assert first.lr / second.lr == pytest.approx(3, rel=0.01)


def test_phases_alone_keep_the_last_rate_and_adapters() -> None:
    adapters = (Phase(3, 3, 0.01, layer_decay=0.9, lora=8),)
    for seed in range(20):
        for phase in phases(space(PHASES, given=adapters).choose(AtRandom(seed))):
            assert (phase.lr, phase.layer_decay, phase.lora) == (0.01, 0.9, 8)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (RATES, {"unfreeze.phases", "unfreeze.gradual"}),
        (AUGMENT, {"data.augment"}),
        (
            REGULARISE,
            {"model.weight_decay", "model.label_smoothing", "model.dropout", "model.mixup", "model.cutmix"},
        ),
    ],
)
def test_what_is_not_searched_stays_as_given(part: str, names: set[str]) -> None:
    assert set(space(part, drop_path=False).choose(AtRandom(0))) == names


def test_drop_path_only_where_the_backbone_takes_it() -> None:
    assert "model.drop_path" in space(REGULARISE).choose(AtRandom(0))


def test_arguments_are_what_the_parser_reads() -> None:
    found = arguments(space(*PARTS).choose(AtRandom(3)))
    given = dict(zip(found[::2], found[1::2], strict=True))
    assert json.loads(given["--unfreeze.phases"])[0]["epochs"] >= 1
    assert given["--unfreeze.gradual"] == "null"
    assert given["--data.augment"] in ("none", "light", "medium", "strong")


SETTINGS = {
    "data.augment": None,
    "model.weight_decay": 0.01,
    "model.label_smoothing": 0.05,
    "model.dropout": None,
    "model.drop_path": 0.1,
    "model.mixup": 0.0,
    "model.cutmix": 1.0,
}


@pytest.mark.parametrize(
    ("changed", "remembered"),
    [
        ({}, {"augment": "medium", "label_smoothing": 0.05, "drop_path": 0.1, "mixing": "cutmix"}),
        ({"model.label_smoothing": 0.07}, {"label_smoothing": None}),
        ({"model.weight_decay": 0.0}, {"weight_decay": None}),
        ({"model.mixup": 0.3}, {"mixing": None}),
        ({"data.augment": [{"transform": "HorizontalFlip"}]}, {"augment": None}),
    ],
)
def test_what_was_given_is_said_in_choices_where_it_can_be(changed: dict[str, Any], remembered: dict[str, Any]) -> None:
    whole = space(*PARTS)
    trial = AtRandom(0)
    whole.choose(Known(trial, whole.as_given({**SETTINGS, **changed})))
    assert "dropout" not in trial.names
    # One after the other, 2 and 4 epochs.
    assert {"lr", "layer_decay", "stages", "epochs", "order"} <= set(trial.names)
    values = whole.as_given({**SETTINGS, **changed})
    for name, value in remembered.items():
        assert (name in trial.names) == (value is not None)
        if value is not None:
            assert values[name] == value
