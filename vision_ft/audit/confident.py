"""Whose labels are likely wrong, by confident learning (Northcutt et al., https://arxiv.org/abs/1911.00068)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def suspects(probabilities: Floats, labels: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Whose label confident learning takes for wrong ("prune by noise rate").

    A photo is *confidently* of a class that is at least as likely for it as, in the mean, for the photos labelled so.
    Counted over all photos of a label, and scaled up to their number, that says how many of them are really of another
    class; so many, those that lean to it most, are suspected.

    Args:
        probabilities: (photos, classes), out of fold.
        labels: class numbers.
    """
    wanted = np.asarray(labels)
    classes = range(probabilities.shape[1])
    bars = np.array([probabilities[wanted == one, one].mean() if (wanted == one).any() else 2.0 for one in classes])
    confident = np.where(probabilities >= bars, probabilities, -1.0)
    confident_of = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), -1)
    suspected = np.zeros(len(wanted), bool)
    for own in classes:
        rows = np.flatnonzero(wanted == own)
        total = (confident_of[rows] >= 0).sum()
        for other in classes:
            wrong = (confident_of[rows] == other).sum()
            if other == own or wrong == 0:
                continue
            lean = probabilities[rows, other] - probabilities[rows, own]
            most = np.argsort(-lean, kind="stable")[: round(wrong * len(rows) / total)]
            suspected[rows[most[lean[most] > 0]]] = True
    return suspected
