"""How unlike the training photos a photo is: what the verdict *neither* rests on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vision_ft.export.part import Floats, Labels

NEIGHBOURS = 5
KEPT = 0.95
# Training photos that are remembered: this many, or so many of each class where classes are many.
_PHOTOS, _OF_A_CLASS = 1000, 10
_LEVELS = 127
_TINY = 1e-12


@dataclass(frozen=True)
class Bank:
    """Training photos, as the features that reach the head, each of length 1 and in eight bits.

    Attributes:
        rows: int8 (photos, features).
        scales: float32 (photos,), by which rows are multiplied.
    """

    rows: npt.NDArray[np.int8]
    scales: Floats

    @classmethod
    def of(cls, features: Floats) -> Bank:
        """Remember features (photos, features)."""
        lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
        units = features / np.maximum(lengths, _TINY)
        scales = np.maximum(np.abs(units).max(axis=1), _TINY) / _LEVELS
        return cls(np.rint(units / scales[:, None]).astype(np.int8), scales.astype(np.float32))

    @property
    def units(self) -> Floats:
        """float32 (photos, features)."""
        return self.rows * self.scales[:, None]

    @property
    def neighbours(self) -> int:
        """Which of the neighbours, counted from the nearest, the distance is taken to."""
        return min(NEIGHBOURS, len(self.rows))


def remembered(labels: Labels) -> list[int]:
    """Which photos of a training part are remembered: equally many of each class as far as they go, spread over it.

    Args:
        labels: (photos,), class numbers.

    Returns:
        Places among them, rising.
    """
    counts = np.bincount(labels)
    most = max(_PHOTOS, _OF_A_CLASS * int((counts > 0).sum()))
    turns = np.empty(len(labels))
    for number, count in enumerate(counts):
        # Halving again and again: however many of a class are taken, they are spread over it.
        turns[labels == number] = _turns(int(count))
    return sorted(np.argsort(turns, kind="stable")[:most].tolist())


def _turns(count: int) -> npt.NDArray[np.int64]:
    """When each of a row of photos is taken, so that those taken first lie far apart."""
    bits = max(1, (count - 1).bit_length())
    mirrored = [int(f"{place:0{bits}b}"[::-1], 2) for place in range(count)]
    turns = np.empty(count, dtype=np.int64)
    turns[np.argsort(mirrored, kind="stable")] = np.arange(count)
    return turns


class Novelty(nn.Module):
    """The distance to the fifth nearest training photo, on the unit sphere, in multiples of a threshold.

    Nearest neighbours in normalised features: Sun et al. 2022 (https://arxiv.org/abs/2204.06507). The distance of
    Mahalanobis (Lee et al. 2018, https://arxiv.org/abs/1807.03888), also relative to that of all classes together (Ren
    et al. 2021, https://arxiv.org/abs/2106.09022), tells other things less well from pets: docs/measurements.md.
    """

    units: torch.Tensor
    scale: torch.Tensor

    def __init__(self, bank: Bank, scale: float = 1.0) -> None:
        """Remember a bank.

        Args:
            bank: of training photos.
            scale: the distance that counts as 1.
        """
        super().__init__()
        self.neighbours = bank.neighbours
        self.register_buffer("units", torch.from_numpy(bank.units))
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Novelty (photos,) of features (photos, features)."""
        lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True).clamp_min(_TINY)
        alike = (features / lengths) @ self.units.T
        nearest = alike.topk(self.neighbours, dim=1).values[:, -1]
        return torch.sqrt((2 - 2 * nearest).clamp_min(0)) / self.scale


def scale_of(distances: Floats) -> float | None:
    """The distance that 95 % of some photos keep within, or a few more; ``None`` where it tells nothing.

    Args:
        distances: (photos,), of photos that are not in the bank.
    """
    if not len(distances):
        return None
    found = float(np.quantile(distances, KEPT, method="higher"))
    return found if np.isfinite(found) and found > 0 else None
