from __future__ import annotations

import numpy as np
import pytest

from vision_ft.evaluate.metrics import bootstrap_mean, score, wilson

CLASSES = ("a", "b", "c")


def random_scores(photos: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    raw = rng.random((photos, len(CLASSES))).astype(np.float32)
    return raw / raw.sum(axis=1, keepdims=True), rng.integers(0, len(CLASSES), photos)


@pytest.mark.parametrize("photos", [1, 2, 50, 1000])
def test_accuracy_and_log_loss_agree_with_torchmetrics(photos: int) -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_accuracy

    probabilities, labels = random_scores(photos)
    scores = score(probabilities, labels, CLASSES)
    theirs = torch.from_numpy(probabilities.astype(np.float64)), torch.from_numpy(labels)
    accuracy = multiclass_accuracy(*theirs, num_classes=3, average="micro")
    assert scores.accuracy == pytest.approx(float(accuracy), abs=1e-6)
    assert scores.log_loss == pytest.approx(float(torch.nn.functional.nll_loss(theirs[0].log(), theirs[1])), abs=1e-6)
    assert scores.photos == photos


def test_recall_of_each_class_and_of_one_without_photos() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 0, 1, 0]]
    scores = score(probabilities, np.array([0, 0, 1, 1]), CLASSES)
    assert scores.recall == {"a": 1.0, "b": 0.5, "c": None}


def test_a_probability_of_zero_gives_a_finite_loss() -> None:
    scores = score(np.array([[1.0, 0.0, 0.0]], dtype=np.float32), np.array([1]), CLASSES)
    assert scores.log_loss == pytest.approx(15.942, abs=1e-3)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # By the formula in R's binom.confint(method = "wilson").
    [(0, 10, 0.0, 0.277533), (5, 10, 0.236593, 0.763407), (10, 10, 0.722467, 1.0), (297, 300, 0.971012, 0.996594)],
)
def test_wilsons_interval(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=1e-5)


def test_the_bootstrap_is_repeatable_and_near_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = bootstrap_mean(values)
    assert (low, high) == bootstrap_mean(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)
