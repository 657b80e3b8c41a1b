"""How weights do on the validation part, photo by photo, and whether one set of them does better than another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from scipy.stats import bootstrap

from vision_ft.model.classifier import Classifier, Judged

_RESAMPLES = 2000


@dataclass(frozen=True)
class Scored:
    """How some weights do on the validation photos.

    Attributes:
        losses: float64 (photos,), on the CPU: -ln(probability of the label), NaN for a photo that could not be read.
        right: float64 (photos,): 1 where the most probable class is the label's, 0 elsewhere, NaN as above.
    """

    losses: torch.Tensor
    right: torch.Tensor

    @property
    def log_loss(self) -> float:
        """Mean loss; infinite where the weights give no numbers, and NaN without any photo."""
        known = self.losses[~self.right.isnan()]
        return float(known.nan_to_num(nan=torch.inf, posinf=torch.inf).mean())

    @property
    def accuracy(self) -> float:
        """Share of photos that are right."""
        return float(self.right.nanmean())

    def is_below(self, other: Scored) -> bool:
        """Whether its log-loss is the lower one, on the photos that could be read both times."""
        both = ~(self.right.isnan() | other.right.isnan())
        return (
            Scored(self.losses[both], self.right[both]).log_loss
            < Scored(other.losses[both], other.right[both]).log_loss
        )

    def gain(self, over: Scored) -> tuple[float, float, float]:
        """How much lower this log-loss is than another's on the same photos, and the 95 % interval of that.

        A percentile bootstrap over photos of the paired differences (Efron 1979,
        https://doi.org/10.1214/aos/1176344552), by seed.
        """
        differences = (over.losses - self.losses).numpy()
        differences = differences[np.isfinite(differences)]
        if len(differences) < 2 or not differences.any():
            mean = float(differences.mean()) if len(differences) else 0.0
            return mean, mean, mean
        found = bootstrap(
            (differences,),
            np.mean,
            n_resamples=_RESAMPLES,
            batch=100,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        return float(differences.mean()), float(found.confidence_interval.low), float(found.confidence_interval.high)


class Tally:
    """Gathers what is judged batch by batch, on every device its share."""

    def __init__(self, photos: int, device: torch.device) -> None:
        """Begin with none judged."""
        # Losses, hits, and how often a photo was judged.
        self._table = torch.zeros(3, photos, dtype=torch.float64, device=device)

    def add(self, rows: torch.Tensor, judged: Judged) -> None:
        """Take in a batch; ``rows`` are the photos' places in the part."""
        self._table[:, rows] = torch.stack([judged.losses, judged.right, torch.ones_like(judged.losses)]).double()

    def scored(self, trainer: pl.Trainer) -> Scored:
        """All devices' shares together."""
        table: Any = trainer.strategy.reduce(self._table, reduce_op="sum")
        losses, right, times = table.cpu()
        unknown = times == 0
        return Scored(losses.masked_fill(unknown, torch.nan), right.masked_fill(unknown, torch.nan))


def evaluate(trainer: pl.Trainer, model: Classifier, loader: Any, pause: Callable[[], None]) -> Scored:
    """Judge the network as it is on the validation photos, apart from Lightning's own loop.

    Args:
        trainer: says on which device and in which precision.
        model: its mode is as before afterwards.
        loader: of the validation part.
        pause: called between batches.
    """
    training = model.training
    model.eval()
    tally = Tally(len(loader.dataset), trainer.strategy.root_device)
    try:
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            for batch in loader:
                moved: Any = trainer.strategy.batch_to_device(batch)
                if len(moved.labels):
                    tally.add(moved.rows, model.judge(moved))
                pause()
    finally:
        model.train(training)
    return tally.scored(trainer)


@contextmanager
def wearing(model: Classifier, weights: dict[str, torch.Tensor]) -> Iterator[None]:
    """Let a network have other weights, as :meth:`Network.plain_state` gives them, while the block lasts.

    Afterwards it has its own again, bit for bit.
    """
    own = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    model.network.load_plain_state(weights)
    try:
        yield
    finally:
        model.network.load_state_dict(own)


def between(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Weights on the straight line between two others (WiSE-FT: Wortsman et al., https://arxiv.org/abs/2109.01903).

    Args:
        first: by name.
        second: of the same names and shapes; counters are taken from here.
        share: how far to go from the first to the second, from 0 to 1.
    """
    return {
        name: torch.lerp(first[name].to(end.device), end, share) if end.is_floating_point() else end
        for name, end in second.items()
    }
