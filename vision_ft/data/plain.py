"""Photos to be looked at and not trained on: framed as prediction frames them, or as one of their random views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import PIL
from torch.utils.data import DataLoader

from vision_ft.data.loading import PhotoDataset, Sample

# What the same file becomes the same pixels by; to be raised when decoding, framing or resampling change.
DECODER = f"2, Pillow {PIL.__version__}"


@dataclass(frozen=True)
class PlainPhotos:
    """The photos of a part, in order.

    Attributes:
        dataset: of all of them.
        labels: their class numbers.
        digests: the SHA-256 of their files, in hexadecimal.
        batch_size: of the loaders.
        workers: processes that read.
        view: which of their random views, counted from 0, where the dataset has such.
    """

    dataset: PhotoDataset
    labels: Sequence[int]
    digests: Sequence[str]
    batch_size: int
    workers: int
    view: int = 0

    def loader(self, rows: Sequence[int]) -> DataLoader[Sample]:
        """Some of them, by their places."""
        sampler: Any = [(self.view, row, False) for row in rows]
        return DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=self.dataset.collate,
            num_workers=min(self.workers, -(-len(rows) // self.batch_size)),
        )

    def describe(self, row: int) -> str:
        """What the pixels of one hang on besides its file and the framing; see :meth:`PhotoDataset.describe`."""
        return self.dataset.describe(row, self.view)
