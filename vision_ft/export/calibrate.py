"""The temperature: by how much a network is too sure of itself, or not sure enough."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax

from vision_ft.export.part import Floats, Labels
from vision_ft.scoring import calibration_error

_FOLDS = 5
# Temperatures that are tried, evenly in their logarithm. What lies beyond is no matter of calibration.
_TRIED = np.geomspace(0.25, 8.0, 301)

_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What a temperature was chosen on and what it is worth there.

    Attributes:
        photos: how many.
        ece_before: expected calibration error at temperature 1; see :func:`~vision_ft.scoring.calibration_error`.
        ece_after: the same at the temperature that was chosen.
        log_loss_before: mean of -ln(probability of the label), at temperature 1.
        log_loss_after: the same at the temperature that was chosen.
    """

    photos: int
    ece_before: float
    ece_after: float
    log_loss_before: float
    log_loss_after: float

    def as_record(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def calibrate(logits: Floats, labels: Labels) -> tuple[float, Calibration]:
    """The temperature with the lowest log-loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Two things guard against few photos. Labels are taken as a little uncertain, as though one photo more had been seen
    whose label is any class (Platt 1999): where every photo is right, the lowest log-loss lies at temperature 0, and a
    model that was right on twenty would claim to be right always. And the temperature must earn its place: chosen on
    four fifths of the photos in turn, it has to lower the log-loss of the fifths left out; otherwise it is 1.

    Args:
        logits: (photos, classes); one photo or more.
        labels: (photos,), class numbers.
    """
    doubles = logits.astype(np.float64)
    losses = np.stack([_losses(doubles, labels, temperature) for temperature in _TRIED])
    # Of a photo whose label is any class.
    doubtful = np.stack([_doubtful(doubles, temperature) for temperature in _TRIED])
    chosen = _best(losses, doubtful) if _earns_its_place(doubles, labels, losses, doubtful) else 1.0
    return chosen, Calibration(
        photos=len(labels),
        ece_before=_error(doubles, labels),
        ece_after=_error(doubles / chosen, labels),
        log_loss_before=float(_losses(doubles, labels, 1.0).mean()),
        log_loss_after=float(_losses(doubles, labels, chosen).mean()),
    )


def _best(losses: _Doubles, doubtful: _Doubles) -> float:
    """Of tables (temperatures, photos)."""
    share = 1 / (losses.shape[1] + 1)
    return float(_TRIED[((1 - share) * losses + share * doubtful).mean(1).argmin()])


def _earns_its_place(logits: _Doubles, labels: Labels, losses: _Doubles, doubtful: _Doubles) -> bool:
    # Dealt out in order of the labels, so that each fold has of every class.
    fold = np.empty(len(labels), dtype=np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % _FOLDS
    gained = 0.0
    for number in range(_FOLDS):
        left_out = fold == number
        if not left_out.any() or left_out.all():
            return False
        chosen = _best(losses[:, ~left_out], doubtful[:, ~left_out])
        held = logits[left_out], labels[left_out]
        gained += float((_losses(*held, 1.0) - _losses(*held, chosen)).sum())
    return gained > 0


def _error(logits: _Doubles, labels: Labels) -> float:
    return calibration_error(softmax(logits, axis=1).max(axis=1), logits.argmax(axis=1) == labels)


def _losses(logits: _Doubles, labels: Labels, temperature: float) -> _Doubles:
    """(photos,): -ln(probability of the label)."""
    found: _Doubles = logsumexp(logits / temperature, axis=1) - logits[np.arange(len(labels)), labels] / temperature
    return found


def _doubtful(logits: _Doubles, temperature: float) -> _Doubles:
    """(photos,): the mean of the losses over all labels that a photo might have."""
    found: _Doubles = logsumexp(logits / temperature, axis=1) - logits.mean(axis=1) / temperature
    return found
