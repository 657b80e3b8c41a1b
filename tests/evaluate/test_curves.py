from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from tests.evaluate.test_metrics import random_scores
from vision_ft.evaluate.curves import precision_recall, reliability, risk_coverage, roc, uncalibrated
from vision_ft.evaluate.metrics import average_precision, score


def of_two(photos: int = 300) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = random_scores(photos, 2)
    # With ties, as there are where a model is sure.
    return np.round(probabilities, 2), labels


def test_the_area_below_the_roc_curve_is_the_figure() -> None:
    probabilities, labels = of_two()
    curve = roc(probabilities[:, 1], labels == 1)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(score(probabilities, labels, ("a", "b")).auroc, abs=1e-9)
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)


def test_precision_and_recall_are_scikit_learns() -> None:
    probabilities, labels = of_two()
    curve = precision_recall(probabilities[:, 1], labels == 1)
    precision, recall, _ = sklearn.metrics.precision_recall_curve(labels, probabilities[:, 1])
    # Theirs go on to where nothing is left, and ours begin with the surest photo; both go through the same points.
    theirs = set(zip(recall.round(9), precision.round(9), strict=True))
    assert set(zip(curve.x.round(9), curve.y.round(9), strict=True)) <= theirs
    area = float((np.diff(curve.x, prepend=0) * curve.y).sum())
    assert area == pytest.approx(average_precision(probabilities, labels), abs=1e-9)


def test_many_photos_are_few_points() -> None:
    probabilities, labels = random_scores(20_000, 2)
    assert len(roc(probabilities[:, 1], labels == 1).x) <= 400
    assert len(risk_coverage(probabilities, labels).x) <= 400


def test_risk_is_what_is_wrong_among_the_surest() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.7, 0.3]], np.float32)
    curve = risk_coverage(probabilities, np.array([0, 1, 1, 0]))
    assert curve.x.tolist() == [0.25, 0.5, 1.0]
    assert curve.y.tolist() == [0.0, 0.0, 0.25]


def test_bins_hold_every_photo_once() -> None:
    probabilities, labels = random_scores(500, 3)
    bins = reliability(probabilities, labels)
    assert sum(one.photos for one in bins) == 500
    right = (probabilities.argmax(axis=1) == labels).mean()
    assert sum(one.photos * one.accuracy for one in bins) / 500 == pytest.approx(right)
    error = sum(one.photos * abs(one.accuracy - one.confidence) for one in bins) / 500
    assert error == pytest.approx(score(probabilities, labels, ("a", "b", "c")).calibration_error, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_calibration_is_undone(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))

    def softmax(values: np.ndarray) -> np.ndarray:
        raised = np.exp(values - values.max(axis=1, keepdims=True))
        return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)

    assert uncalibrated(softmax(logits / temperature), temperature) == pytest.approx(softmax(logits), abs=1e-5)


def test_a_probability_of_zero_stays_zero() -> None:
    assert uncalibrated(np.array([[1.0, 0.0]], np.float32), 2.0).tolist() == [[1.0, 0.0]]
