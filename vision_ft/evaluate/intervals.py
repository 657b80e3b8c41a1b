"""How far a figure can be trusted: 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
# How often each photo is in each resample, (resamples, photos), to one figure a resample.
Statistic: TypeAlias = Callable[[Floats], Floats]
Interval: TypeAlias = tuple[float, float]

# Two-sided 95 % of the normal distribution.
_Z = 1.959963984540054
_LOW, _HIGH = 0.025, 0.975
_RESAMPLES, _FEWEST = 1000, 200
# So many numbers are held at once, and so many are gone through before resamples get fewer.
_HELD, _WORK = 4_000_000, 200_000_000


def wilson(hits: int, trials: int) -> Interval:
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


def bootstrap_mean(values: Floats, seed: int = 0) -> Interval:
    """The 95 % percentile bootstrap interval of a mean (Efron 1979, https://doi.org/10.1214/aos/1176344552).

    Args:
        values: (photos,).
        seed: of the resampling; the same values give the same interval.
    """
    return percentile(lambda counts: counts @ values / len(values), len(values), seed=seed)


def percentile(statistic: Statistic, photos: int, *, columns: int = 1, seed: int = 0) -> Interval:
    """The 95 % percentile bootstrap interval of any figure.

    Resamples on which the figure is not defined (NaN) do not count.

    Args:
        statistic: what is resampled.
        photos: how many there are.
        columns: how many times over the figure goes through them; with very much to do, resamples are fewer.
        seed: of the resampling.
    """
    found = resampled(statistic, photos, columns=columns, seed=seed)
    found = found[~np.isnan(found)]
    if not len(found):
        return math.nan, math.nan
    low, high = np.quantile(found, [_LOW, _HIGH])
    return float(low), float(high)


def reflected(statistic: Statistic, value: float, photos: int, *, seed: int = 0) -> Interval:
    """The 95 % basic bootstrap interval (Davison and Hinkley 1997, 5.2) of a figure that is never below 0.

    For figures that noise makes larger, such as a calibration error: resampling adds as much again to what the sample
    has too much, and the percentile interval would lie above the truth. This one takes it off.

    Args:
        statistic: what is resampled.
        value: of the sample itself.
        photos: how many there are.
        seed: of the resampling.
    """
    low, high = percentile(statistic, photos, seed=seed)
    return max(0.0, 2 * value - high), max(value, 2 * value - low)


def resampled(statistic: Statistic, photos: int, *, columns: int = 1, seed: int = 0) -> Floats:
    """A figure of every resample; the photos of a resample are drawn with replacement, as many as there are."""
    rng = np.random.default_rng(seed)
    times = int(np.clip(_WORK // max(1, photos * columns), _FEWEST, _RESAMPLES))
    together = int(np.clip(_HELD // photos, 1, times))
    shares = np.full(photos, 1 / photos)
    found = []
    for start in range(0, times, together):
        counts = rng.multinomial(photos, shares, size=min(together, times - start)).astype(np.float64)
        found.append(statistic(counts))
    return np.concatenate(found)
