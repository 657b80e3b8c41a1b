"""The head, trained to its optimum on a backbone that is frozen: one pass over the photos, then a convex fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.progress import track

from vision_ft.data.listing import TRAIN, VAL
from vision_ft.model.classifier import Classifier
from vision_ft.model.head import Linear, LinearHead
from vision_ft.train.judging import Scored
from vision_ft.train.regularise import Features, Groups, fit_best

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadFit:
    """What :func:`fit_head` found.

    Attributes:
        start: how the head did that the weights brought along; ``None`` where they brought none.
        head: how the head does that the network has now.
        chosen: what held its weights back, in words.
    """

    start: Scored | None
    head: Scored
    chosen: str


def fit_head(
    trainer: pl.Trainer, model: Classifier, data: Any, pause: Callable[[], None], console: Console
) -> HeadFit | None:
    """Train the head to its optimum, in place.

    Each photo passes the backbone once, framed as prediction frames it. How strongly the weights are held back, and
    whether near zero or near those that the head began with, is what gives the lowest log-loss on photos that they were
    not fitted to (:func:`~vision_ft.train.regularise.fit_best`).

    Args:
        trainer: says on which devices and in which precision.
        model: its backbone is not changed.
        data: the module of the photos.
        pause: called between batches.
        console: for the progress bar.

    Returns:
        What was found, or ``None`` where the head is no linear layer.
    """
    training = model.training
    model.eval()
    try:
        with trainer.precision_plugin.forward_context():
            seen = _look(trainer, model, data, pause, console)
    finally:
        model.train(training)
    if seen is None:
        _log.warning("the head of %s is no linear layer; it trains in the phases alone", model.backbone_name)
        return None
    head, train, val = seen
    start = head.read().to(val.values.device)
    # A bundle may come from these very photos; what its backbone makes of those it learnt from says nothing.
    groups = None if model.origin.ancestors else data.groups(TRAIN)
    found = _fit(train, val, start, model.label_smoothing, groups) if trainer.is_global_zero else None
    # Found once, and the same on every device.
    linear, chosen = cast("tuple[Linear, str]", trainer.strategy.broadcast(found))
    linear = linear.to(val.values.device)
    head.write(linear)
    return HeadFit(None if start.is_zero else _score(start, val), _score(linear, val), chosen)


def _fit(train: Features, val: Features, start: Linear, smoothing: float, groups: Groups | None) -> tuple[Linear, str]:
    """On the features' device or, where that has no room for it, on the CPU: a smaller batch would be of no use."""
    try:
        return fit_best(train, val, start, smoothing, groups)
    except torch.OutOfMemoryError:
        pass
    here = torch.device("cpu")
    return fit_best(train.to(here), val.to(here), start.to(here), smoothing, groups)


def _look(
    trainer: pl.Trainer, model: Classifier, data: Any, pause: Callable[[], None], console: Console
) -> tuple[LinearHead, Features, Features] | None:
    loaders = {split: data.plain_dataloader(split) for split in (TRAIN, VAL)}
    bar = track(
        ((split, batch) for split, loader in loaders.items() for batch in loader),
        "the frozen backbone looks at each photo once",
        total=sum(map(len, loaders.values())),
        console=console,
        transient=True,
        disable=not (console.is_terminal and trainer.is_global_zero),
    )
    head: LinearHead | None = None
    found: dict[str, list[tuple[torch.Tensor, ...]]] = {TRAIN: [], VAL: []}
    for split, batch in bar:
        moved: Any = trainer.strategy.batch_to_device(batch)
        pause()
        if not len(moved.labels):
            continue
        head = head or LinearHead.of(model.network, moved.pixels)
        if head is None:
            break
        found[split].append((moved.rows, head.inputs(moved.pixels), moved.labels))
    # All devices must come to the same answer.
    linear = trainer.strategy.reduce_boolean_decision(head is not None)
    if head is None or not linear:
        return None
    # A device may have none of a few validation photos.
    none = tuple(column[:0] for column in found[TRAIN][0])
    train, val = (_gather(trainer, [none, *found[split]], len(loaders[split].dataset)) for split in (TRAIN, VAL))
    return head, train, val


def _gather(trainer: pl.Trainer, parts: Iterable[tuple[torch.Tensor, ...]], photos: int) -> Features:
    """All devices' shares together, in the order of the part, whichever device saw which."""
    rows, values, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    if trainer.world_size > 1:
        table = values.new_zeros(photos, values.shape[1] + 2)
        table[rows, :-2] = values
        table[rows, -2] = labels.to(values.dtype)
        table[rows, -1] = 1
        whole: Any = trainer.strategy.reduce(table, reduce_op="sum")
        rows = whole[:, -1].nonzero().flatten()
        values, labels = whole[rows, :-2], whole[rows, -2].long()
    # Not every device has the float64 that an optimum takes.
    home = values.device if values.device.type == "cuda" else torch.device("cpu")
    return Features(values.to(home), labels.to(home), rows.to(home), photos)


def _score(linear: Linear, part: Features) -> Scored:
    found = part.judge(linear)
    table = torch.full((2, part.photos), torch.nan, dtype=torch.float64, device=part.values.device)
    table[:, part.rows] = torch.stack([found.losses.double(), found.right.double()])
    return Scored(*table.cpu())
