"""Photos as an export sees them: pixels and labels, and nothing of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vision_ft.runtime.engine import cores

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
        batches: begins a pass over some of them, by their places: places, and uint8 pixels (photos, height, width, 3).
            A photo that cannot be read is left out.
        kept: what the network made of photos before, by their places: features (features,) and logits (classes,).
    """

    labels: Labels
    batches: Callable[[Sequence[int]], Iterator[tuple[list[int], Pixels]]]
    kept: Mapping[int, tuple[Floats, Floats]] = field(default_factory=dict)

    def run(self, engine: Runs, *, kept: bool = False) -> tuple[Labels, tuple[Any, ...]]:
        """Show every photo to an engine, as many batches at once as there are cores.

        Args:
            engine: safe to call from several threads.
            kept: whether it is the network itself, and what is kept need not be shown.

        Returns:
            The labels of those that could be read, and what the engine gives, an array each; empty if there are none.
        """
        found: dict[int, tuple[Any, ...]] = dict(self.kept) if kept else {}
        found |= self.shown(engine, [place for place in range(len(self.labels)) if place not in found])
        places = sorted(found)
        answers = [found[place] for place in places]
        return self.labels[places], tuple(np.stack(column) for column in zip(*answers, strict=True))

    def shown(self, engine: Runs, places: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """What an engine gives for some photos, by their places; those that cannot be read are left out."""
        found: dict[int, tuple[Any, ...]] = {}
        batches = self.batches(places)
        with ThreadPoolExecutor(cores()) as pool:
            while group := list(islice(batches, cores())):
                for (rows, _), columns in zip(group, pool.map(engine, [pixels for _, pixels in group]), strict=True):
                    found.update(zip(rows, zip(*columns, strict=True), strict=True))
        return found


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
