"""Holding an engine's answers against others: at the gate, and again wherever a bundle tests itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vision_ft.framing import Pixels
from vision_ft.runtime.engine import Answers

BATCHES = (1, 3, 16)
# Of an engine in float32: in probability, and in novelty, where 1 is the threshold.
TOLERANCE, NOVELTY_TOLERANCE = 1e-4, 5e-3

# From uint8 pixels (photos, height, width, 3).
Answering: TypeAlias = Callable[[Pixels], Answers]


def at_each_size(engine: Answering, pixels: Pixels) -> Iterator[tuple[int, npt.NDArray[np.int64], list[Any]]]:
    """Ask an engine in batches of each size.

    Args:
        engine: to be asked.
        pixels: uint8 (photos, height, width, 3).

    Yields:
        The size; which photo each answer is of; and probabilities and, where there is such, novelty. The photos go
        round, so that even a few of them fill the largest batch.
    """
    for size in BATCHES:
        rows = np.arange(max(len(pixels), size)) % len(pixels)
        found = [[column for column in engine(part) if column is not None] for part in parts(pixels[rows], size)]
        yield size, rows, [np.concatenate(column) for column in zip(*found, strict=True)]


def parts(pixels: Pixels, size: int) -> Iterator[Pixels]:
    """Photos, so many at a time."""
    return (pixels[start : start + size] for start in range(0, len(pixels), size))


def largest(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    """The largest difference; infinite where one is no number, which ``max`` would pass over, or the shapes differ."""
    difference = np.abs(found - wanted) if found.shape == wanted.shape else np.array(np.inf)
    return float(difference.max()) if np.isfinite(difference).all() else float("inf")
