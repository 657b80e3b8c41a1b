"""The *unsure* band: below which confidence a model had better say nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from vision_ft.export.part import Labels

# One-sided.
_SURE = 0.95
# Of fewer photos nothing is chosen.
_FEWEST = 50
# Aimed at by itself, if the model is not far from it already.
_LEAST = 0.02


@dataclass(frozen=True)
class Band:
    """A threshold of confidence, and what is known of the photos above it.

    Attributes:
        threshold: a largest probability below this is *unsure*; ``None`` where every answer may stand, or nothing is
            known.
        target: the share of errors that was aimed at, among what is answered.
        kept: share of the validation photos that are answered.
        errors: among these.
        bound: the share of errors among what is answered is below this, with 95 % confidence.
        reached: whether the share of errors seen is at or below the target.
    """

    threshold: float | None
    target: float
    kept: float
    errors: int
    bound: float
    reached: bool

    def as_record(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def band(probabilities: npt.NDArray[np.floating], labels: Labels, target: float | None = None) -> Band:
    """The lowest confidence above which the model errs as rarely as asked: a point on its risk-coverage curve.

    (Geifman & El-Yaniv 2017, https://arxiv.org/abs/1705.08500.) What is compared with the target is the share of
    errors seen. What it may truly be is told beside it (Clopper & Pearson 1934): of 150 answers without an error, still
    2 %. Were the bound held to the target, a model with a tenth of errors on a hundred photos would answer little.

    Where no threshold reaches the target, it is the one with the lowest bound; with fewer than 50 photos, none.

    Args:
        probabilities: (photos, classes), calibrated; one photo or more.
        labels: (photos,), class numbers.
        target: share of errors among what is answered, in (0, 1); if not given, half of the share among all photos, and
            no less than 2 %.
    """
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != labels
    order = np.argsort(-confidence, kind="stable")
    confidence, errors = confidence[order], np.cumsum(wrong[order])
    count = len(labels)
    # Photos of one confidence are answered together or not at all.
    ends = [place for place in range(count) if place + 1 == count or confidence[place + 1] < confidence[place]]
    aim = max(_LEAST, float(errors[-1]) / count / 2) if target is None else target
    good = [place for place in ends if errors[place] <= aim * (place + 1)]
    reached = good[-1] if good else min(ends, key=lambda one: (upper_bound(int(errors[one]), one + 1), -one))
    place = reached if count >= _FEWEST else count - 1
    everything = place == count - 1
    threshold = None if everything else float((confidence[place] + confidence[place + 1]) / 2)
    seen = int(errors[place])
    bound = upper_bound(seen, place + 1)
    return Band(threshold, aim, (place + 1) / count, seen, bound, reached=seen <= aim * (place + 1))


def upper_bound(errors: int, photos: int) -> float:
    """The share of errors that is not exceeded with 95 % confidence (Clopper & Pearson 1934, one-sided).

    The largest share at which so few errors or fewer still have a chance of 5 %.
    """
    return 1.0 if errors >= photos else float(beta.ppf(_SURE, errors + 1, photos - errors))
