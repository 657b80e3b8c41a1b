from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from vision_ft.evaluate.intervals import bootstrap_mean, reflected, wilson
from vision_ft.evaluate.metrics import CLIP, Scores, score
from vision_ft.scoring import EDGES, TINY, calibration_error

CLASSES = ("a", "b", "c", "d")
CLOSE = {"abs": 1e-6, "rel": 1e-6}


def random_scores(photos: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(classes), photos).astype(np.float32), rng.integers(0, classes, photos)


def one_hot(columns: list[int], classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[columns]


def agrees(probabilities: np.ndarray, labels: np.ndarray) -> Scores:
    """Every figure is scikit-learn's or torchmetrics'."""
    classes = probabilities.shape[1]
    scores = score(probabilities, labels, CLASSES[:classes])
    as_double = torch.from_numpy(probabilities.astype(np.float64))
    target = torch.from_numpy(labels)
    accuracy = multiclass_accuracy(as_double, target, num_classes=classes, average="micro")
    assert scores.accuracy == pytest.approx(float(accuracy), **CLOSE)
    names = list(range(classes))
    with warnings.catch_warnings():
        # Rows of float32 sum to 1 as nearly as float32 can; clipped ones do not.
        warnings.filterwarnings("ignore", message="The y_prob values do not sum")
        floored = np.clip(probabilities.astype(np.float64), TINY, 1)
        assert scores.log_loss == pytest.approx(sklearn.metrics.log_loss(labels, floored, labels=names), **CLOSE)
        clipped = np.clip(probabilities.astype(np.float64), CLIP, 1 - CLIP)
        theirs = sklearn.metrics.log_loss(labels, clipped, labels=names)
        assert scores.clipped_log_loss == pytest.approx(theirs, **CLOSE)
    brier = sklearn.metrics.brier_score_loss(labels, probabilities, labels=names)
    assert scores.brier == pytest.approx(brier, **CLOSE)
    ece = multiclass_calibration_error(torch.from_numpy(probabilities), target, num_classes=classes, n_bins=15)
    assert scores.calibration_error == pytest.approx(float(ece), **CLOSE)
    shown = [1] if classes == 2 else names
    known = [one for one in shown if (labels == one).any() and not (labels == one).all()]
    if known:
        areas = [sklearn.metrics.roc_auc_score(labels == one, probabilities[:, one]) for one in known]
        assert scores.auroc == pytest.approx(np.mean(areas), **CLOSE)
        precisions = [sklearn.metrics.average_precision_score(labels == one, probabilities[:, one]) for one in known]
        assert scores.average_precision == pytest.approx(np.mean(precisions), **CLOSE)
    else:
        assert scores.auroc is None
        assert scores.average_precision is None
    guesses = probabilities.argmax(axis=1)
    precision, recall, _, support = sklearn.metrics.precision_recall_fscore_support(
        labels, guesses, labels=names, zero_division=np.nan
    )
    for number, name in enumerate(CLASSES[:classes]):
        for ours, theirs in ((scores.precision[name], precision[number]), (scores.recall[name], recall[number])):
            assert (ours is None) == math.isnan(theirs)
            assert ours is None or ours == pytest.approx(theirs, **CLOSE)
        assert (scores.recall[name] is None) == (support[number] == 0)
    return scores


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("photos", [1, 2, 50, 1000])
def test_figures_agree_on_random_scores(photos: int, classes: int) -> None:
    agrees(*random_scores(photos, classes))


_EDGES = {
    "one class absent": (random_scores(40)[0], np.arange(40) % 2),
    "one class alone": (random_scores(20)[0], np.zeros(20, np.int64)),
    "all the same": (np.full((12, 3), 1 / 3, np.float32), np.arange(12) % 3),
    "ties": (np.round(random_scores(200, 2)[0], 1), random_scores(200, 2)[1]),
    "sure and right": (one_hot([0, 1, 2], 3), np.array([0, 1, 2])),
    "sure and wrong": (one_hot([1, 2, 0], 3), np.array([0, 1, 2])),
    "0 and 1 of two": (one_hot([0, 1, 1, 0], 2), np.array([0, 1, 0, 1])),
    "on the edges of bins": (np.array([[0.6, 0.4], [0.8, 0.2], [0.2, 0.8], [1, 0]]), np.array([0, 1, 1, 0])),
    "never given": (one_hot([0, 0, 1, 0], 3), np.array([0, 0, 1, 2])),
}  # fmt: skip


@pytest.mark.parametrize("case", _EDGES)
def test_figures_agree_on_edges(case: str) -> None:
    probabilities, labels = _EDGES[case]
    agrees(probabilities.astype(np.float32), labels.astype(np.int64))


@given(data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_figures_agree_on_whatever_there_is(data: st.DataObject) -> None:
    classes, photos = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 30))
    # Few different numbers, so that there are ties, zeros and ones.
    weights = data.draw(
        st.lists(st.lists(st.integers(0, 4), min_size=classes, max_size=classes), min_size=photos, max_size=photos)
    )
    table = np.array([row if any(row) else [1] * classes for row in weights], dtype=np.float64)
    labels = np.array(
        data.draw(st.lists(st.integers(0, classes - 1), min_size=photos, max_size=photos)), dtype=np.int64
    )
    scores = agrees((table / table.sum(axis=1, keepdims=True)).astype(np.float32), labels)
    for name in ("accuracy", "log_loss", "clipped_log_loss", "brier"):
        low, high = getattr(scores, f"{name}_interval")
        assert low <= getattr(scores, name) + 1e-9
        assert high >= getattr(scores, name) - 1e-9


def test_recall_of_each_class_and_of_one_without_photos() -> None:
    scores = score(one_hot([0, 0, 1, 0], 3), np.array([0, 0, 1, 1]), CLASSES[:3])
    assert scores.recall == {"a": 1.0, "b": 0.5, "c": None}
    assert scores.precision == {"a": pytest.approx(2 / 3), "b": 1.0, "c": None}
    assert scores.recall_interval["b"] == wilson(1, 2)
    assert scores.recall_interval["c"] is None


def test_a_probability_of_zero_gives_a_finite_loss() -> None:
    scores = score(np.array([[1.0, 0.0, 0.0]], dtype=np.float32), np.array([1]), CLASSES[:3])
    assert scores.log_loss == pytest.approx(15.942, abs=1e-3)
    assert scores.clipped_log_loss == pytest.approx(-math.log(0.005))


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


def test_the_interval_of_the_area_is_near_the_analytic_one() -> None:
    """Hanley and McNeil's standard error (1982), which assumes more than the bootstrap does."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    second = 1 / (1 + np.exp(-(2 * labels - 1 + rng.normal(0, 1.5, 600))))
    scores = score(np.stack([1 - second, second], axis=1).astype(np.float32), labels, CLASSES[:2])
    area, positive = float(scores.auroc or 0), int(labels.sum())
    more, less = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positive - 1) * (more - area**2) + (600 - positive - 1) * (less - area**2)
    error = math.sqrt(spread / (positive * (600 - positive)))
    assert scores.auroc_interval == pytest.approx((area - 1.96 * error, area + 1.96 * error), abs=0.01)


def test_the_interval_of_a_calibration_error_reaches_down_to_what_is_true() -> None:
    """Of perfectly calibrated scores that is 0; of a hundred samples, the percentile interval did on none."""
    held = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        confidences = rng.uniform(0.5, 1, 300)
        right = rng.random(300) < confidences
        second = np.stack([confidences, 1 - confidences], axis=1).astype(np.float32)
        low, high = score(second, np.where(right, 0, 1), CLASSES[:2]).calibration_error_interval
        assert low <= calibration_error(confidences, right) + 1e-6
        assert high >= calibration_error(confidences, right) - 1e-6
        # 300 photos in 8 bins: what is left of the bias is about a hundredth.
        held += low < 0.015
    assert held >= 8


def test_the_edges_of_bins_are_torchmetrics() -> None:
    assert EDGES.tolist() == torch.linspace(0, 1, 16).tolist()


def test_a_reflected_interval_holds_its_figure() -> None:
    values = np.random.default_rng(0).normal(0.02, 1, 50)
    low, high = reflected(lambda counts: np.abs(counts @ values / 50), abs(values.mean()), 50)
    assert 0 <= low <= abs(values.mean()) <= high
