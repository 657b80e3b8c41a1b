"""Scores to numbers, each with the interval that says how far it can be trusted.

Every figure is one of scikit-learn's or torchmetrics', to 1e-6; the tests hold them side by side. They are written anew
because an interval takes a thousand of each, which is a matrix product when it is written for all resamples at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vision_ft.evaluate.intervals import Floats, Interval, bootstrap_mean, percentile, reflected, wilson
from vision_ft.scoring import Labels, binned, errors_of_calibration, losses_of

__all__ = ["Scores", "bootstrap_mean", "score", "wilson"]

Probabilities: TypeAlias = npt.NDArray[np.float32]

# What competitions on cats and dogs clip to, as one photo that is surely wrong would decide everything otherwise.
CLIP = 0.005


@dataclass(frozen=True)
class Scores:
    """How a model does on one part of the data.

    Attributes:
        photos: how many.
        accuracy: share of photos whose most probable class is the label's.
        accuracy_interval: 95 %, Wilson's.
        log_loss: mean of -ln(probability of the label).
        log_loss_interval: 95 %, bootstrap over photos, as the following ones.
        clipped_log_loss: the same with probabilities held within 0.005 and 0.995.
        clipped_log_loss_interval: of that.
        brier: mean squared distance of the probabilities from the truth, summed over classes; of two classes, halved.
        brier_interval: of that.
        calibration_error: mean distance of confidence and accuracy in 15 bins of confidence.
        calibration_error_interval: of that, basic bootstrap.
        auroc: the share of pairs of photos that are in order; of more than two classes the mean over classes, each
            against the rest. ``None`` where fewer than two classes have photos.
        auroc_interval: of that.
        average_precision: area below precision over recall, in the same mean; ``None`` as above.
        recall: for each class, the share of its photos that were recognised; ``None`` for a class without photos.
        recall_interval: 95 %, Wilson's.
        precision: for each class, the share of photos called so that are; ``None`` for a class never given.
        precision_interval: 95 %, Wilson's.
    """

    photos: int
    accuracy: float
    accuracy_interval: Interval
    log_loss: float
    log_loss_interval: Interval
    clipped_log_loss: float
    clipped_log_loss_interval: Interval
    brier: float
    brier_interval: Interval
    calibration_error: float
    calibration_error_interval: Interval
    auroc: float | None
    auroc_interval: Interval | None
    average_precision: float | None
    recall: dict[str, float | None]
    recall_interval: dict[str, Interval | None]
    precision: dict[str, float | None]
    precision_interval: dict[str, Interval | None]

    def as_record(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def score(probabilities: Probabilities, labels: Labels, classes: tuple[str, ...]) -> Scores:
    """Score predictions.

    Args:
        probabilities: (photos, classes); at least one photo.
        labels: (photos,), class numbers.
        classes: names, in the order of the columns.
    """
    guesses = probabilities.argmax(axis=1)
    right = guesses == labels
    losses, clipped = losses_of(probabilities, labels), clipped_losses(probabilities, labels)
    distances = brier_terms(probabilities, labels)
    table = binned(probabilities.max(axis=1), right)
    error = float(errors_of_calibration(np.ones((1, len(labels))), table)[0])
    auroc = auroc_of(probabilities, labels)
    found = [_share(right, guesses == number) for number in range(len(classes))]
    known = [_share(right, labels == number) for number in range(len(classes))]
    return Scores(
        photos=len(labels),
        accuracy=float(right.mean()),
        accuracy_interval=wilson(int(right.sum()), len(labels)),
        log_loss=float(losses.mean()),
        log_loss_interval=bootstrap_mean(losses),
        clipped_log_loss=float(clipped.mean()),
        clipped_log_loss_interval=bootstrap_mean(clipped),
        brier=float(distances.mean()),
        brier_interval=bootstrap_mean(distances),
        calibration_error=error,
        calibration_error_interval=reflected(lambda counts: errors_of_calibration(counts, table), error, len(labels)),
        auroc=auroc,
        auroc_interval=None if auroc is None else _auroc_interval(probabilities, labels),
        average_precision=average_precision(probabilities, labels),
        recall=dict(zip(classes, (share for share, _ in known), strict=True)),
        recall_interval=dict(zip(classes, (interval for _, interval in known), strict=True)),
        precision=dict(zip(classes, (share for share, _ in found), strict=True)),
        precision_interval=dict(zip(classes, (interval for _, interval in found), strict=True)),
    )


def clipped_losses(probabilities: Probabilities, labels: Labels) -> Floats:
    """The same with probabilities held within :data:`CLIP` and 1 less that."""
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(own, CLIP, 1 - CLIP))


def brier_terms(probabilities: Probabilities, labels: Labels) -> Floats:
    """Squared distance of each photo's probabilities from the truth (Brier 1950), (photos,); halved of two classes."""
    away = probabilities.astype(np.float64)
    away[np.arange(len(labels)), labels] -= 1
    return np.asarray((away**2).sum(axis=1) / (2 if probabilities.shape[1] == 2 else 1))


def auroc_of(probabilities: Probabilities, labels: Labels) -> float | None:
    """Area below the ROC curve, the mean over classes with photos; ties count half."""
    found = [_auroc(np.ones((1, len(labels))), *one)[0] for one in _against_the_rest(probabilities, labels)]
    return float(np.mean(found)) if found else None


def _auroc_interval(probabilities: Probabilities, labels: Labels) -> Interval:
    each = _against_the_rest(probabilities, labels)

    def mean(counts: Floats) -> Floats:
        table = np.stack([_auroc(counts, *one) for one in each])
        known = ~np.isnan(table)
        # A class of which a resample has no photo says nothing in it.
        total = np.where(known, table, 0).sum(axis=0)
        return np.asarray(
            np.divide(total, known.sum(axis=0), out=np.full(len(counts), np.nan), where=known.any(axis=0))
        )

    return percentile(mean, len(labels), columns=len(each))


def _against_the_rest(
    probabilities: Probabilities, labels: Labels
) -> list[tuple[Probabilities, npt.NDArray[np.bool_]]]:
    """The scores and the truth of each class that has photos and is not all there is; of two classes, the second's."""
    numbers = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    each = [(probabilities[:, number], labels == number) for number in numbers]
    return [(scores, truth) for scores, truth in each if truth.any() and not truth.all()]


def _auroc(counts: Floats, scores: Probabilities, truth: npt.NDArray[np.bool_]) -> Floats:
    """By ranks (Mann and Whitney 1947), for photos that count several times: (resamples,); NaN without any pair."""
    order = np.argsort(scores, kind="stable")
    ordered, positive = scores[order], truth[order]
    # Of photos with the same score, the first and the last.
    first = np.searchsorted(ordered, ordered[positive], side="left")
    last = np.searchsorted(ordered, ordered[positive], side="right")
    weights = counts[:, order]
    below = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(np.where(positive, 0, weights), axis=1)], axis=1)
    hits = weights[:, positive]
    pairs = hits.sum(axis=1) * below[:, -1]
    ordered_pairs = (hits * (below[:, first] + below[:, last])).sum(axis=1) / 2
    return np.asarray(np.divide(ordered_pairs, pairs, out=np.full(len(counts), np.nan), where=pairs > 0))


def average_precision(probabilities: Probabilities, labels: Labels) -> float | None:
    """Precision at each threshold, weighted with the recall that it adds; the mean over classes with photos."""
    found = []
    for scores, truth in _against_the_rest(probabilities, labels):
        order = np.argsort(-scores, kind="stable")
        last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
        hits = np.cumsum(truth[order])[last]
        found.append(min(1.0, float((np.diff(hits, prepend=0) / hits[-1] * hits / (last + 1)).sum())))
    return float(np.mean(found)) if found else None


def _share(right: npt.NDArray[np.bool_], meant: npt.NDArray[np.bool_]) -> tuple[float | None, Interval | None]:
    total, hits = int(meant.sum()), int(right[meant].sum())
    return (hits / total, wilson(hits, total)) if total else (None, None)
