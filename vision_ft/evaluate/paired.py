"""Two models on the same photos: what they differ in, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from vision_ft.evaluate.intervals import Floats, Interval, bootstrap_mean

_LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """How a first model does against a second one, photo by photo.

    Attributes:
        photos: how many both judged.
        both_right: on so many.
        only_first: right, and the second wrong.
        only_second: right, and the first wrong.
        both_wrong: on so many.
        accuracy_gain: accuracy of the first less that of the second.
        accuracy_gain_interval: 95 %, paired bootstrap over photos.
        p_value: McNemar's test, exact: how often chance alone would part the photos on which one of them is right at
            least as unevenly.
        log_loss_gain: log-loss of the second less that of the first, above 0 where the first is better.
        log_loss_gain_interval: 95 %, paired bootstrap over photos.
        accuracy_verdict: ``"better"``, ``"worse"`` or ``"no clear difference"``, by the test.
        log_loss_verdict: the same, by the interval.
    """

    photos: int
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    accuracy_gain: float
    accuracy_gain_interval: Interval
    p_value: float
    log_loss_gain: float
    log_loss_gain_interval: Interval
    accuracy_verdict: str
    log_loss_verdict: str

    def as_record(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def compare(
    first_right: npt.NDArray[np.bool_],
    second_right: npt.NDArray[np.bool_],
    first_losses: Floats,
    second_losses: Floats,
) -> Paired:
    """Hold two models against each other.

    Args:
        first_right: (photos,), whether the first is right; at least one photo.
        second_right: the same of the second.
        first_losses: (photos,), -ln(probability of the label).
        second_losses: the same of the second.
    """
    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    p_value = mcnemar(only_first, only_second)
    gains, hits = second_losses - first_losses, first_right.astype(np.float64) - second_right
    low, high = bootstrap_mean(gains)
    return Paired(
        photos=len(hits),
        both_right=int((first_right & second_right).sum()),
        only_first=only_first,
        only_second=only_second,
        both_wrong=int((~first_right & ~second_right).sum()),
        accuracy_gain=float(hits.mean()),
        accuracy_gain_interval=bootstrap_mean(hits),
        p_value=p_value,
        log_loss_gain=float(gains.mean()),
        log_loss_gain_interval=(low, high),
        accuracy_verdict=_verdict(only_first > only_second, clear=p_value < _LEVEL),
        log_loss_verdict=_verdict(low > 0, clear=low > 0 or high < 0),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's test (https://doi.org/10.1007/BF02295996), exact by the binomial distribution.

    Args:
        only_first: photos on which only the first model is right.
        only_second: photos on which only the second one is.
    """
    parted = only_first + only_second
    return float(binomtest(only_first, parted, 0.5).pvalue) if parted else 1.0


def _verdict(better: bool, *, clear: bool) -> str:
    return ("better" if better else "worse") if clear else "no clear difference"
