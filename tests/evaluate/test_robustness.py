from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vision_ft.evaluate.robustness import KINDS, Kind
from vision_ft.framing import Framing, Pixels
from vision_ft.imaging import read


@pytest.fixture(scope="module")
def views(cats_dogs: Path) -> list[Pixels]:
    framing = Framing(96, 128, 0.9, "bicubic")
    return [read(cats_dogs / "cat" / f"cat.{number}.jpg", framing) for number in range(6)]


def away(first: Pixels, second: Pixels) -> float:
    return float(np.abs(first.astype(float) - second).mean())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_strength_does_more_than_the_one_before(kind: Kind, views: list[Pixels]) -> None:
    assert len(kind.strengths) == 5
    before = [view.copy() for view in views]
    harm = []
    for strength in kind.strengths:
        worse = [kind.harm(view, strength, number) for number, view in enumerate(views)]
        assert all(one.shape == view.shape and one.dtype == np.uint8 for one, view in zip(worse, views, strict=True))
        again = [kind.harm(view, strength, number) for number, view in enumerate(views)]
        assert all(np.array_equal(one, two) for one, two in zip(worse, again, strict=True)), "it can be repeated"
        harm.append(np.mean([away(one, view) for one, view in zip(worse, views, strict=True)]))
    assert all(np.array_equal(one, view) for one, view in zip(before, views, strict=True)), (
        "the photos stay as they are"
    )
    assert harm[0] > 0.3
    if kind.name != "rotation":
        assert harm == sorted(harm)


def test_turning_by_half_is_upside_down(views: list[Pixels]) -> None:
    (turn,) = [kind for kind in KINDS if kind.name == "rotation"]
    assert away(turn.harm(views[0], 180, 0), views[0][::-1, ::-1]) < 3


def test_lost_colour_is_grey(views: list[Pixels]) -> None:
    (grey,) = [kind for kind in KINDS if kind.name == "grey"]
    found = grey.harm(views[0], 1.0, 0)
    assert np.array_equal(found[..., 0], found[..., 1])
    assert np.array_equal(found[..., 1], found[..., 2])
