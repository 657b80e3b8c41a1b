"""The scores that both an export and its evaluation go by."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.int64]

# The smallest probability that a logarithm is taken of: the resolution of the float32 the model gives.
TINY = float(np.finfo(np.float32).eps)
BINS = 15
# In float32, and from both ends, as PyTorch counts them: a confidence of 0.4 lies on an edge, as it does there.
_STEPS = np.arange(BINS + 1) * float(np.float32(1 / BINS))
EDGES = np.where(np.arange(BINS + 1) <= BINS // 2, _STEPS, 1 - _STEPS[::-1]).astype(np.float32)


def losses_of(probabilities: npt.NDArray[np.floating[Any]], labels: Labels) -> Floats:
    """-ln(probability of the label) of each photo, (photos,), of probabilities (photos, classes)."""
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(own, TINY, 1.0))


def calibration_error(confidences: npt.NDArray[np.floating[Any]], right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error (Naeini et al. 2015), 15 bins of the same width, as torchmetrics has it.

    Args:
        confidences: (photos,), the largest probability of each.
        right: (photos,), whether it is the label's.
    """
    return float(errors_of_calibration(np.ones((1, len(right))), binned(confidences, right))[0])


def bins_of(confidences: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """The bin of each confidence, 0 to 15; the last one is for 1 itself, which torchmetrics keeps apart."""
    return np.asarray(np.digitize(np.clip(confidences, 0, 1).astype(np.float32), EDGES) - 1)


def binned(confidences: npt.NDArray[np.floating[Any]], right: npt.NDArray[np.bool_]) -> Floats:
    """Confidence less hit of each photo, in the column of its bin: (photos, bins)."""
    table = np.zeros((len(right), BINS + 1))
    table[np.arange(len(right)), bins_of(confidences)] = confidences.astype(np.float64) - right
    return table


def errors_of_calibration(counts: Floats, table: Floats) -> Floats:
    """Calibration errors (resamples,) of resamples: how often each photo is in each, (resamples, photos)."""
    return np.asarray(np.abs(counts @ table).sum(axis=1) / len(table))
