"""What a frozen backbone's features show: labels that are likely wrong, and pictures of no class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vision_ft.audit.confident import suspects as suspects
from vision_ft.audit.findings import Found

Values = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_FOLDS = 5
# How strongly the regression is held back, the first fold's log-loss decides; on scaled features.
_STRENGTHS = (1e-3, 1e-2, 1e-1)
_NEIGHBOUR = 5
# In smaller classes there is no telling what is usual.
FEWEST = 20
# In median absolute deviations, after Iglewicz and Hoaglin.
_STRANGE = 3.5
_TO_STANDARD = 0.6745
# Below it, the photos of a class are all the same to the backbone.
_NO_SPREAD = 1e-4
# With more photos than this, neighbours are looked for among as many of them, evenly spread.
_MOST_NEIGHBOURS = 50_000
_BLOCK = 1024


def most_folds(labels: Sequence[int], groups: Sequence[str]) -> int:
    """Into how many folds the photos can be dealt so that each has all classes; below 2, labels cannot be judged."""
    groups_of = {label: set[str]() for label in labels}
    for label, group in zip(labels, groups, strict=True):
        groups_of[label].add(group)
    return min(_FOLDS, min((len(found) for found in groups_of.values()), default=0)) if len(groups_of) > 1 else 0


def out_of_fold(values: Values, labels: Sequence[int], groups: Sequence[str], classes: int) -> Floats:
    """Probabilities of each photo by a logistic regression that saw neither it nor a near-duplicate of it.

    Done twice, the second time without learning from the labels that the first one suspects: a wrong label pulls the
    regression towards itself and hides others like it.

    Args:
        values: (photos, features).
        labels: class numbers.
        groups: photos of one group are in one fold.
        classes: how many there are.

    Returns:
        (photos, classes); 0 for a class without photos.

    Raises:
        ValueError: :func:`most_folds` is below 2.
    """
    wanted = np.asarray(labels)
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    folds = StratifiedGroupKFold(most_folds(labels, groups), shuffle=True, random_state=0)
    parts = list(folds.split(values, wanted, numbers))
    train, held_out = parts[0]
    losses = [_loss(_fit(values[train], wanted[train], one), values[held_out], wanted[held_out]) for one in _STRENGTHS]
    strength = _STRENGTHS[int(np.argmin(losses))]

    def judge(trusted: npt.NDArray[np.bool_]) -> Floats:
        probabilities = np.zeros((len(wanted), classes))
        for train, held_out in parts:
            learnt = train[trusted[train]]
            model = _fit(values[learnt], wanted[learnt], strength)
            probabilities[np.ix_(held_out, model.classes_)] = model.predict_proba(values[held_out])
        return probabilities

    return judge(~suspects(judge(np.ones(len(wanted), bool)), labels))


def _fit(values: Values, labels: Ints, strength: float) -> LogisticRegression:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(values, labels)


def _loss(model: LogisticRegression, values: Values, labels: Ints) -> float:
    known = np.isin(labels, model.classes_)
    return float(log_loss(labels[known], model.predict_proba(values[known]), labels=model.classes_))


def ranking(probabilities: Floats, labels: Sequence[int]) -> tuple[Ints, Floats]:
    """The photos from the most doubtful label to the least.

    Args:
        probabilities: (photos, classes), out of fold.
        labels: class numbers.

    Returns:
        Places of the photos in that order; and each photo's margin: the probability of its label less that of the
        likeliest other class, in [-1, 1], in the order of the photos.
    """
    wanted = np.asarray(labels)
    own = probabilities[np.arange(len(wanted)), wanted]
    others = probabilities.copy()
    others[np.arange(len(wanted)), wanted] = -1.0
    margin = own - others.max(axis=1)
    return np.argsort(margin, kind="stable").astype(np.int64), margin


def suspect_findings(
    rows: Ints, probabilities: Floats, margin: Floats, labels: Sequence[int], classes: Sequence[str]
) -> Iterator[Found]:
    """The suspected labels, each with what the photo looks like instead; ``margin`` is of :func:`ranking`."""
    for place in np.flatnonzero(suspects(probabilities, labels)):
        looks = int(probabilities[place].argmax())
        detail = f"looks like {classes[looks]!r}: {probabilities[place, looks]:.1%}"
        yield Found("suspect", int(rows[place]), detail, score=float(-margin[place]))


def strangeness(values: Values, labels: Sequence[int], groups: Sequence[str]) -> Floats:
    """How far each photo is from its fifth nearest neighbour of any class, by the angle between features.

    Near-duplicates of a photo are no neighbours of it: two copies of a picture of no class would vouch for each other.

    Args:
        values: (photos, features).
        labels: class numbers. Each photo is held against the others of its class, as some classes are more varied.
        groups: of near-duplicates.

    Returns:
        (photos,): in median absolute deviations from the class's median, scaled as a standard deviation would be; 0 in
        classes with fewer than 20 different photos, of which there is no telling what is usual.
    """
    units = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    pool = np.arange(len(units))
    if len(pool) > _MOST_NEIGHBOURS:
        pool = np.linspace(0, len(units) - 1, _MOST_NEIGHBOURS).round().astype(np.int64)
    neighbour = min(_NEIGHBOUR, max(1, len(pool) - 1))
    distance = np.empty(len(units))
    for start in range(0, len(units), _BLOCK):
        here = slice(start, start + _BLOCK)
        alike = units[here] @ units[pool].T
        alike[numbers[here, None] == numbers[pool]] = -1.0
        distance[here] = 1 - np.partition(alike, -neighbour, axis=1)[:, -neighbour]
    strange = np.zeros(len(units))
    # Of each group one photo, for copies would make what is usual narrower than it is.
    alone = np.zeros(len(units), bool)
    alone[np.unique(numbers, return_index=True)[1]] = True
    for label in np.unique(np.asarray(labels)):
        of_class = np.asarray(labels) == label
        usual = distance[of_class & alone]
        median = np.median(usual)
        spread = float(np.median(np.abs(usual - median)))
        if len(usual) >= FEWEST and spread > _NO_SPREAD:
            strange[of_class] = _TO_STANDARD * (distance[of_class] - median) / spread
    return strange


def neither_findings(rows: Ints, values: Values, labels: Sequence[int], groups: Sequence[str]) -> Iterator[Found]:
    """The photos that lie far from all others."""
    strange = strangeness(values, labels, groups)
    for place in np.flatnonzero(strange > _STRANGE):
        detail = f"{strange[place]:.1f} deviations from what is usual in its class"
        yield Found("neither", int(rows[place]), detail, score=float(strange[place]))
