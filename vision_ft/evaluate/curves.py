"""What the figures show: points of curves, from probabilities and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision_ft.evaluate.intervals import Floats, wilson
from vision_ft.evaluate.metrics import Probabilities
from vision_ft.scoring import BINS, Labels, bins_of

# More points than this cannot be seen.
_MOST = 400


@dataclass(frozen=True)
class Curve:
    """Points (x, y), with what lies between as far as it can be trusted, where there is such a thing."""

    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None


def roc(scores: Probabilities, truth: npt.NDArray[np.bool_]) -> Curve:
    """True positives over false positives, both as shares; with photos inside the class and outside of it."""
    false, true = _counts(scores, truth)
    zero = np.zeros(1)
    x, y = np.concatenate([zero, false / false[-1]]), np.concatenate([zero, true / true[-1]])
    # What lies on a straight line between its neighbours is left out.
    kept = np.ones(len(x), bool)
    kept[1:-1] = (np.diff(x, 2) != 0) | (np.diff(y, 2) != 0)
    return _thinned(Curve(x[kept], y[kept]))


def precision_recall(scores: Probabilities, truth: npt.NDArray[np.bool_]) -> Curve:
    """Precision over recall, from the surest photo on; with photos inside the class."""
    false, true = _counts(scores, truth)
    return _thinned(Curve(true / true[-1], true / (true + false)))


def _counts(scores: Probabilities, truth: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How many outside and inside of the class are let in at each threshold, the highest first."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    true = np.cumsum(truth[order])[last].astype(np.float64)
    return last + 1 - true, true


@dataclass(frozen=True)
class Bin:
    """The photos whose confidence lies in one of the bins.

    Attributes:
        photos: how many; 1 or more.
        confidence: their mean.
        accuracy: the share of them that is right.
        interval: of the accuracy, 95 %, Wilson's.
    """

    photos: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]


def reliability(probabilities: Probabilities, labels: Labels) -> list[Bin]:
    """Accuracy in each bin of confidence; 1 itself is in the last one here."""
    confidences, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum(bins_of(confidences), BINS - 1)
    found = []
    for number in np.unique(bins):
        here = bins == number
        photos, hits = int(here.sum()), int(right[here].sum())
        found.append(Bin(photos, float(confidences[here].mean()), hits / photos, wilson(hits, photos)))
    return found


def risk_coverage(probabilities: Probabilities, labels: Labels) -> Curve:
    """The share of mistakes among the photos that are answered, over the share that is (El-Yaniv and Wiener 2010).

    Of photos with the same confidence all are answered or none.
    """
    confidences, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    order = np.argsort(-confidences, kind="stable")
    last = np.flatnonzero(np.diff(confidences[order], append=-np.inf))
    mistakes, answered = np.cumsum(wrong[order])[last], last + 1
    if len(last) > _MOST:
        kept = np.unique(np.linspace(0, len(last) - 1, _MOST).round().astype(np.int64))
        mistakes, answered = mistakes[kept], answered[kept]
    band = np.array([wilson(int(hits), int(trials)) for hits, trials in zip(mistakes, answered, strict=True)])
    return Curve(answered / len(wrong), mistakes / answered, band[:, 0], band[:, 1])


def uncalibrated(probabilities: Probabilities, temperature: float) -> Probabilities:
    """The probabilities before calibration: p ∝ q^T of those after it, for logits were divided by T."""
    if temperature == 1:
        return probabilities
    powers = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny)) * temperature
    raised = np.exp(powers - powers.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def _thinned(curve: Curve) -> Curve:
    if len(curve.x) <= _MOST:
        return curve
    kept = np.unique(np.linspace(0, len(curve.x) - 1, _MOST).round().astype(np.int64))
    return Curve(curve.x[kept], curve.y[kept])
