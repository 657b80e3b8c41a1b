from __future__ import annotations

import math

import numpy as np
import pytest

from vision_ft.evaluate.paired import compare, mcnemar


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    # By hand: twice the tail of the binomial distribution, at most 1.
    [(0, 0, 1.0), (1, 0, 1.0), (0, 5, 2 / 2**5), (6, 0, 2 / 2**6), (5, 5, 1.0), (1, 7, 18 / 2**8), (8, 2, 112 / 2**10)],
)
def test_mcnemars_test_is_exact(only_first: int, only_second: int, p_value: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p_value, abs=1e-12)
    assert mcnemar(only_second, only_first) == pytest.approx(p_value, abs=1e-12)


def models(photos: int, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """Two models, each wrong on photos of its own."""
    ours, theirs = np.ones(photos, bool), np.ones(photos, bool)
    ours[:first] = False
    theirs[first : first + second] = False
    return ours, theirs


def test_a_few_photos_are_no_clear_difference() -> None:
    ours, theirs = models(300, 2, 4)
    losses = np.random.default_rng(1).exponential(0.05, (2, 300))
    found = compare(ours, theirs, losses[0], losses[1])
    assert (found.both_right, found.only_first, found.only_second, found.both_wrong) == (294, 4, 2, 0)
    assert found.accuracy_verdict == "no clear difference"
    assert found.accuracy_gain == pytest.approx(2 / 300)
    assert found.log_loss_verdict == "no clear difference"


def test_many_photos_are_a_clear_one_in_both_directions() -> None:
    ours, theirs = models(300, 2, 20)
    first = np.full(300, 0.01)
    second = first + np.random.default_rng(0).exponential(0.02, 300)
    found, other = compare(ours, theirs, first, second), compare(theirs, ours, second, first)
    assert (found.accuracy_verdict, found.log_loss_verdict) == ("better", "better")
    assert (other.accuracy_verdict, other.log_loss_verdict) == ("worse", "worse")
    assert found.p_value == other.p_value < 0.05
    assert found.log_loss_gain == pytest.approx(-other.log_loss_gain)


def test_the_same_model_twice() -> None:
    right, losses = np.array([True, False]), np.array([0.1, 2.0])
    found = compare(right, right, losses, losses)
    assert (found.p_value, found.accuracy_verdict, found.log_loss_verdict) == (1.0, *["no clear difference"] * 2)
    assert all(math.isfinite(end) for end in found.log_loss_gain_interval)
