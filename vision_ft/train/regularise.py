"""How strongly the weights of a head are held back, and near what: chosen on photos that the fit did not see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedGroupKFold

from vision_ft.model.classifier import Judged, judged
from vision_ft.model.convex import optima, optimum, side_by_side
from vision_ft.model.head import Linear

Groups = npt.NDArray[np.int64]

_FOLDS = 5
# So many validation photos tell strengths apart by themselves; and so many numbers are too many to fit five times.
_ENOUGH, _MOST_FITTED = 1000, 1 << 25
# The strengths left are only ever looser, and worse.
_PATIENCE = 3


@dataclass(frozen=True)
class Features:
    """What reaches the head of the photos of a part.

    Attributes:
        values: float32 (photos, features).
        labels: int64 (photos,), class numbers.
        rows: int64 (photos,), places in the part, of those that could be read; of several views of a photo, the same.
        photos: how many the part has.
    """

    values: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor
    photos: int

    @classmethod
    def together(cls, parts: Sequence[Features]) -> Features:
        """Several looks at the same photos, in one; a photo has as many rows as it could be read times."""
        # A look at which nothing could be read does not even know how many features there are.
        seen = [one for one in parts if len(one.rows)] or parts[:1]
        values = torch.cat([one.values for one in seen])
        labels = torch.cat([one.labels for one in seen])
        return cls(values, labels, torch.cat([one.rows for one in seen]), parts[0].photos)

    def to(self, device: torch.device) -> Features:
        """The same on another device."""
        return Features(self.values.to(device), self.labels.to(device), self.rows.to(device), self.photos)

    def judge(self, linear: Linear) -> Judged:
        """How a head does on each of the photos that could be read."""
        return judged(linear.logits(self.values), self.labels)


def fit_best(
    train: Features, val: Features, start: Linear, label_smoothing: float, groups: Groups | None
) -> tuple[Linear, str]:
    """The head with the lowest log-loss on photos that it did not learn from.

    Those are the validation photos, and where these are few also the training photos out of fold: with three hundred of
    them all right, as happens, the choice falls on hardly any regularisation, and on a head that is far too sure of
    itself. The strengths are compared by fits that are near the optimum; the one chosen is fitted to it.

    Args:
        train: to learn from.
        val: to judge by.
        start: the head's weights before.
        label_smoothing: the share of each label that is spread over all classes.
        groups: a number for each training photo, the same for near-duplicates, which are in one fold; ``None`` where
            the backbone may have learnt from the training photos, which then tell nothing.

    Returns:
        The head, which is ``start`` where nothing did better, and what held its weights back, in words.
    """
    folds = [] if groups is None else _folds(train, val, groups[train.rows.cpu().numpy()])
    zero = Linear(torch.zeros_like(start.weight), torch.zeros_like(start.bias))
    priors = [(zero, "zero")] + ([] if start.is_zero else [(start, "the pretrained rows")])
    unseen = [val, train] if folds else [val]
    lowest = _mean([part.judge(start).losses for part in unseen])
    chosen: tuple[Linear, str, float] | None = None
    for prior, name in priors:
        losses: list[float] = []
        for strength, loss in _tried(train, val, prior, label_smoothing, folds):
            losses.append(loss)
            if loss < lowest:
                lowest, chosen = loss, (prior, name, strength)
            if len(losses) > _PATIENCE and min(losses[-_PATIENCE:]) > min(losses[:-_PATIENCE]):
                break
    if chosen is None:
        return start, "left at zero" if start.is_zero else "the pretrained rows as they were"
    prior, name, strength = chosen
    return optimum(train.values, train.labels, prior, strength, label_smoothing), f"held near {name} by {strength:g}"


def _tried(
    train: Features,
    val: Features,
    prior: Linear,
    label_smoothing: float,
    folds: list[tuple[torch.Tensor, torch.Tensor]],
) -> Iterator[tuple[float, float]]:
    """Each strength, and the mean loss of the photos that its fits did not see."""

    def path(rows: torch.Tensor | slice) -> Iterator[tuple[float, Linear]]:
        return optima(train.values[rows], train.labels[rows], prior, label_smoothing=label_smoothing, rough=True)

    everything = slice(None)
    paths = [path(everything), *(path(seen) for seen, _ in folds)]
    for (strength, whole), *parts in side_by_side(paths, train.values, len(prior.bias)):
        losses = [val.judge(whole).losses]
        losses += [
            judged(part.logits(train.values[held_out]), train.labels[held_out]).losses
            for (_, part), (_, held_out) in zip(parts, folds, strict=True)
        ]
        yield strength, _mean(losses)


def _folds(train: Features, val: Features, groups: Groups) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Places among the features to learn from and to judge by; none where that is not called for, or not possible."""
    labels = train.labels.cpu().numpy()
    fewest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if fewest < 2 or len(val.labels) >= _ENOUGH or train.values.numel() > _MOST_FITTED:
        return []
    split = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=0).split(labels, labels, groups)
    device = train.values.device
    return [(torch.from_numpy(seen).to(device), torch.from_numpy(held_out).to(device)) for seen, held_out in split]


def _mean(losses: list[torch.Tensor]) -> float:
    return float(torch.cat(losses).double().mean())
