"""Photos as an export sees them: pixels and labels, and nothing of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]
# From uint8 pixels (photos, height, width, 3) to arrays with a row a photo.
Runs: TypeAlias = Callable[[Pixels], tuple[Any, ...]]


@dataclass(frozen=True)
class Part:
    """The photos of a part that are used for something.

    Attributes:
        labels: int64 (photos,), class numbers.
        batches: begins a pass over them: places among them, and uint8 pixels (photos, height, width, 3). A photo that
            cannot be read is left out.
    """

    labels: Labels
    batches: Callable[[], Iterator[tuple[list[int], Pixels]]]

    def run(self, engine: Runs) -> tuple[Labels, tuple[Any, ...]]:
        """Show every photo to an engine.

        Returns:
            The labels of those that could be read, and what the engine gives, joined over the batches; empty if there
            are none.
        """
        places: list[int] = []
        found: list[tuple[Any, ...]] = []
        for rows, pixels in self.batches():
            places += rows
            found.append(engine(pixels))
        return self.labels[places], tuple(np.concatenate(column) for column in zip(*found, strict=True))


@dataclass(frozen=True)
class Material:
    """What an export is chosen, measured and compared on.

    Attributes:
        golden: compared on, each framed, uint8 (height, width, 3).
        digests: SHA-256 of their files, in hexadecimal.
        train: what the training photos look like; ``None`` where they are not to be had.
        val: what temperature and thresholds are chosen on; ``None`` where it is not to be had.
    """

    golden: list[Pixels]
    digests: list[str]
    train: Part | None = None
    val: Part | None = None
