from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from vision_ft.audit import judged
from vision_ft.audit.judged import most_folds, out_of_fold, ranking, strangeness, suspects

Values = npt.NDArray[np.float32]


def two_clouds(count: int, apart: float, seed: int = 0) -> tuple[Values, list[int], list[str]]:
    rng = np.random.default_rng(seed)
    labels = [index % 2 for index in range(count)]
    values = rng.normal(size=(count, 8)).astype(np.float32) + 3
    values[:, 0] += apart * np.array(labels)
    return values, labels, [f"g{index}" for index in range(count)]


def test_flipped_labels_come_first_and_are_suspected() -> None:
    values, labels, groups = two_clouds(400, apart=8)
    flipped = [3, 50, 121, 300]
    for place in flipped:
        labels[place] = 1 - labels[place]
    probabilities = out_of_fold(values, labels, groups, 2)
    order, margin = ranking(probabilities, labels)
    assert sorted(order[:4].tolist()) == flipped
    suspected = np.flatnonzero(suspects(probabilities, labels)).tolist()
    # How many there are is an estimate; that none is blamed wrongly is not.
    assert len(suspected) >= 3
    assert set(suspected) <= set(flipped)
    assert (np.diff(margin[order]) >= 0).all()


def test_probabilities_are_of_photos_that_were_not_seen() -> None:
    # Labels by chance: whoever saw a photo could know its label in so many dimensions.
    rng = np.random.default_rng(0)
    values = rng.normal(size=(120, 300)).astype(np.float32)
    labels = rng.integers(0, 2, 120).tolist()
    probabilities = out_of_fold(values, labels, [str(index) for index in range(120)], 2)
    right = (probabilities.argmax(axis=1) == labels).mean()
    assert 0.3 < right < 0.7
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(120))


def test_copies_do_not_vouch_for_each_other() -> None:
    # Each photo is there twice, with labels by chance: with the copy in another fold, each label could be looked up.
    rng = np.random.default_rng(0)
    half = rng.normal(size=(60, 300)).astype(np.float32)
    values, labels = np.concatenate([half, half]), rng.integers(0, 2, 60).tolist() * 2
    groups = [str(index % 60) for index in range(120)]
    probabilities = out_of_fold(values, labels, groups, 2)
    assert (probabilities.argmax(axis=1) == labels).mean() < 0.75
    apart = out_of_fold(values, labels, [str(index) for index in range(120)], 2)
    assert (apart.argmax(axis=1) == labels).mean() > 0.75


def test_the_same_every_time() -> None:
    values, labels, groups = two_clouds(100, apart=1)
    first, second = (out_of_fold(values, labels, groups, 2) for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize(
    ("labels", "groups", "folds"),
    [
        ([0, 0, 1, 1], "abcd", 2),
        ([0, 0, 1], "abc", 1),
        ([0, 0, 1, 1], "abcc", 1),
        ([0] * 9, "abcdefghi", 0),
        ([0, 1] * 9, "abcdefghijklmnopqr", 5),
    ],
)
def test_how_many_folds_there_can_be(labels: list[int], groups: str, folds: int) -> None:
    assert most_folds(labels, list(groups)) == folds


def test_a_class_without_a_mean_is_never_confident() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.9, 0.0]])
    assert suspects(probabilities, [0, 1, 0]).tolist() == [False, False, True]


def test_what_lies_apart_is_strange_also_when_it_is_there_twice() -> None:
    values, labels, groups = two_clouds(200, apart=2)
    values[7] = values[8] = [-9, 9, -9, 9, -9, 9, -9, 9]
    groups[8] = groups[7]
    strange = strangeness(values, labels, groups)
    assert set(np.flatnonzero(strange > 3.5)) >= {7, 8}
    assert np.median(strange) == pytest.approx(0, abs=0.2)


def test_nothing_is_strange_in_a_small_class() -> None:
    values, labels, groups = two_clouds(60, apart=0)
    labels = [0] * 45 + [1] * 15
    values[-1] = [-9, 9, -9, 9, -9, 9, -9, 9]
    assert strangeness(values, labels, groups)[-15:].tolist() == [0.0] * 15


def test_suspected_labels_are_not_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    values, labels, groups = two_clouds(300, apart=4)
    flipped = list(range(0, 300, 12))
    for place in flipped:
        labels[place] = 1 - labels[place]
    _, pruned = ranking(out_of_fold(values, labels, groups, 2), labels)
    monkeypatch.setattr(judged, "suspects", lambda probabilities, labels: np.zeros(len(labels), bool))
    _, all_kept = ranking(out_of_fold(values, labels, groups, 2), labels)
    assert pruned[flipped].mean() < all_kept[flipped].mean() - 0.02


def test_copies_of_a_strange_picture_do_not_vouch_for_each_other() -> None:
    values, labels, groups = two_clouds(200, apart=2)
    values[:8] = [-9, 9, -9, 9, -9, 9, -9, 9]
    assert (strangeness(values, labels, groups)[:8] < 0).all()
    assert (strangeness(values, labels, ["copies"] * 8 + groups[8:])[:8] > 3.5).all()


def test_copies_do_not_make_the_usual_narrow() -> None:
    values, labels, groups = two_clouds(100, apart=2)
    values = np.concatenate([values, np.repeat(values[:1], 80, axis=0)])
    strange = strangeness(values, labels + [0] * 80, groups + [groups[0]] * 80)
    assert (strange < 10).all()
    assert np.isfinite(strange).all()
    same = np.ones((60, 8), np.float32)
    assert strangeness(same, [0] * 60, [str(row) for row in range(60)]).tolist() == [0.0] * 60
