"""The head, trained to its optimum on a backbone that is frozen: one pass over the photos, then a convex fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytorch_lightning as pl
import torch
from rich.console import Console

from vision_ft.data.listing import TRAIN, VAL
from vision_ft.data.plain import PlainPhotos
from vision_ft.model.classifier import Classifier
from vision_ft.model.head import Linear
from vision_ft.model.translate import Translation
from vision_ft.train.judging import Scored
from vision_ft.train.looking import Cache, Looker, Seen
from vision_ft.train.regularise import Features, Groups, fit_best

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadFit:
    """What :func:`fit_head` found.

    Attributes:
        start: how the head did that the weights brought along; ``None`` where they brought none.
        head: how the head does that the network has now.
        start_probabilities: what that one said of the validation photos, as in :class:`Baseline`.
        head_probabilities: what this one says of them.
        chosen: what held its weights back, in words.
        photos: that the backbone's features were needed of, each of several views counted.
        known: those of them whose features were in the cache.
    """

    start: Scored | None
    head: Scored
    chosen: str
    photos: int
    known: int
    start_probabilities: torch.Tensor | None
    head_probabilities: torch.Tensor


def fit_head(
    trainer: pl.Trainer,
    model: Classifier,
    data: Any,
    pause: Callable[[], None],
    console: Console,
    cache: Cache,
    translation: Translation,
    views: int = 0,
) -> HeadFit | None:
    """Train the head to its optimum, in place.

    Each photo passes the backbone once, framed as prediction frames it, and never again where its features are kept.
    How strongly the weights are held back, and whether near zero or near those that the head began with, is what gives
    the lowest log-loss on photos that they were not fitted to (:func:`~vision_ft.train.regularise.fit_best`).

    Args:
        trainer: says on which devices and in which precision.
        model: its backbone is not changed.
        data: the module of the photos.
        pause: called between batches.
        console: for the progress bar.
        cache: of what was seen before.
        translation: of the network.
        views: random views of each training photo that the head is fitted to, beside the photo as it is.

    Returns:
        What was found, or ``None`` where the head is no linear layer.
    """
    training = model.training
    model.eval()
    try:
        looker = Looker(
            model.network,
            trainer.strategy.root_device,
            str(trainer.precision),
            trainer.precision_plugin.forward_context,
            cache,
            translation,
        )
        # All devices must come to the same answer.
        linear = trainer.strategy.reduce_boolean_decision(looker.head is not None)
        seen = _look(trainer, looker, data, pause, console, views) if linear else None
    finally:
        model.train(training)
    if seen is None or looker.head is None:
        _log.warning("the head of %s is no linear layer; it trains in the phases alone", model.backbone_name)
        return None
    head = looker.head
    train, val, known = seen
    start = head.read().to(val.values.device)
    # A bundle may come from these very photos; what its backbone makes of those it learnt from says nothing.
    groups = None if model.origin.ancestors else data.groups(TRAIN)
    found = _fit(train, val, start, model.label_smoothing, groups) if trainer.is_global_zero else None
    # Found once, and the same on every device.
    best, chosen = cast("tuple[Linear, str]", trainer.strategy.broadcast(found))
    best = best.to(val.values.device)
    head.write(best)
    before = None if start.is_zero else _score(start, val)
    said = (None if start.is_zero else _probabilities(start, val), _probabilities(best, val))
    return HeadFit(before, _score(best, val), chosen, len(train.rows) + len(val.rows), known, *said)


def _fit(train: Features, val: Features, start: Linear, smoothing: float, groups: Groups | None) -> tuple[Linear, str]:
    """On the features' device or, where that has no room for it, on the CPU: a smaller batch would be of no use."""
    try:
        return fit_best(train, val, start, smoothing, groups)
    except torch.OutOfMemoryError:
        pass
    here = torch.device("cpu")
    return fit_best(train.to(here), val.to(here), start.to(here), smoothing, groups)


def _look(
    trainer: pl.Trainer, looker: Looker, data: Any, pause: Callable[[], None], console: Console, views: int
) -> tuple[Features, Features, int]:
    """What reaches the head of the training and of the validation photos, and how many of them were known."""
    shown = console.is_terminal and trainer.is_global_zero
    wanted: list[PlainPhotos] = [data.plain_photos(TRAIN), *(data.plain_photos(TRAIN, view) for view in range(views))]
    parts, known = [], 0
    for photos in (*wanted, data.plain_photos(VAL)):
        share = range(trainer.global_rank, len(photos.labels), trainer.world_size)
        seen = looker.look(photos, share, pause, console, shown)
        parts.append(_gather(trainer, seen, photos.labels))
        known += _over_all(trainer, seen.known, "sum")
    *train, val = parts
    return Features.together(train), val, known


def _gather(trainer: pl.Trainer, seen: Seen, labels: Sequence[int]) -> Features:
    """All devices' shares together, in the order of the part, whichever device saw which."""
    rows, values = seen.rows, seen.values
    if trainer.world_size > 1:
        # A device may have none of a few validation photos.
        width = _over_all(trainer, values.shape[1], "max")
        table = torch.zeros(len(labels), width + 1, device=trainer.strategy.root_device)
        if len(rows):
            table[rows, :-1] = values.to(table.device)
        table[rows, -1] = 1
        whole: Any = trainer.strategy.reduce(table, reduce_op="sum")
        rows = whole[:, -1].nonzero().flatten()
        values = whole[rows, :-1]
    # Not every device has the float64 that an optimum takes.
    device = trainer.strategy.root_device
    home = device if device.type == "cuda" else torch.device("cpu")
    rows = rows.to(home)
    return Features(values.to(home), torch.tensor(labels, device=home)[rows], rows, len(labels))


def _over_all(trainer: pl.Trainer, number: int, how: str) -> int:
    """All devices' numbers in one."""
    mine: Any = torch.tensor(float(number), device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(mine, reduce_op=how))


def _score(linear: Linear, part: Features) -> Scored:
    found = part.judge(linear)
    table = torch.full((2, part.photos), torch.nan, dtype=torch.float64, device=part.values.device)
    table[:, part.rows] = torch.stack([found.losses.double(), found.right.double()])
    return Scored(*table.cpu())


def _probabilities(linear: Linear, part: Features) -> torch.Tensor:
    logits = linear.logits(part.values)
    table = torch.full((part.photos, logits.shape[1]), torch.nan, dtype=torch.float64, device=logits.device)
    table[part.rows] = logits.softmax(dim=1)
    return table.cpu()
