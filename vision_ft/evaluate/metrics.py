"""Scores to numbers, each with the interval that says how far it can be trusted."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

# Two-sided 95 % of the normal distribution.
_Z = 1.959963984540054
_BOOTSTRAPS = 1000
# The smallest probability that a logarithm is taken of: the resolution of the float32 the model gives.
_TINY = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Scores:
    """How a model does on one part of the data.

    Attributes:
        photos: how many.
        accuracy: share of photos whose most probable class is the label's.
        accuracy_interval: 95 %, Wilson's.
        log_loss: mean of -ln(probability of the label).
        log_loss_interval: 95 %, bootstrap over photos.
        recall: for each class, the share of its photos that were recognised; ``None`` for a class without photos.
    """

    photos: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    log_loss: float
    log_loss_interval: tuple[float, float]
    recall: dict[str, float | None]

    def as_record(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def score(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: tuple[str, ...]) -> Scores:
    """Score predictions.

    Args:
        probabilities: (photos, classes); at least one photo.
        labels: (photos,), class numbers.
        classes: names, in the order of the columns.
    """
    right = probabilities.argmax(axis=1) == labels
    losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels].astype(np.float64), _TINY))
    return Scores(
        photos=len(labels),
        accuracy=float(right.mean()),
        accuracy_interval=wilson(int(right.sum()), len(labels)),
        log_loss=float(losses.mean()),
        log_loss_interval=bootstrap_mean(losses),
        recall={
            name: float(right[labels == number].mean()) if (labels == number).any() else None
            for number, name in enumerate(classes)
        },
    )


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953).

    Args:
        hits: how often it happened.
        trials: out of how many, 1 or more.
    """
    share = hits / trials
    spread = 1 + _Z**2 / trials
    centre = (share + _Z**2 / (2 * trials)) / spread
    half = _Z * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2)) / spread
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_mean(values: npt.NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean (Efron 1979, https://doi.org/10.1214/aos/1176344552).

    Args:
        values: (photos,).
        seed: of the resampling; the same values give the same interval.
    """
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(_BOOTSTRAPS)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
