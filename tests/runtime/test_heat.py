"""A heat-map from the logits of places."""

from __future__ import annotations

import numpy as np
import pytest

from vision_ft.errors import UsageError
from vision_ft.framing import Pixels
from vision_ft.runtime.engine import Answers
from vision_ft.runtime.heat import heat_of

PIXELS = np.zeros((8, 8, 3), np.uint8)


class FourPlaces:
    """What four places say of two classes."""

    lanes = 1

    def __init__(self, places: list[list[list[float]]] | None) -> None:
        self._places = places

    def run(self, pixels: Pixels) -> Answers:
        return Answers(np.array([[0.3, 0.7]], np.float32))

    def places(self, pixels: Pixels) -> np.ndarray | None:
        return None if self._places is None else np.array([self._places], np.float32)


def test_what_speaks_for_a_class_more_than_for_the_others() -> None:
    # The first place is loud for both alike, the last speaks for the second class.
    engine = FourPlaces([[[9, 9], [2, 0]], [[0, 1], [0, 4]]])
    second = heat_of(engine, PIXELS, ("a", "b"), "b")
    assert second.shape == (8, 8)
    assert second[-1, -1] == 1
    assert second[0, 0] == second[0, -1] == 0
    assert second[-1, 0] == pytest.approx(0.25)
    first = heat_of(engine, PIXELS, ("a", "b"), "a")
    assert (first[0, -1], first[-1, -1], first[0, 0]) == (1, 0, 0)
    # The most probable class, where none is named.
    assert (heat_of(engine, PIXELS, ("a", "b"), None) == second).all()


def test_where_nothing_speaks_for_a_class_nothing_is_hot() -> None:
    assert not heat_of(FourPlaces([[[1, 1], [1, 0]], [[1, 0], [1, 1]]]), PIXELS, ("a", "b"), "b").any()


def test_a_model_without_places_says_so() -> None:
    with pytest.raises(UsageError, match="gives no heat-map"):
        heat_of(FourPlaces(None), PIXELS, ("a", "b"), "b")
