"""Photos framed as prediction frames them, to be looked at and not trained on."""

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
    """

    dataset: PhotoDataset
    labels: Sequence[int]
    digests: Sequence[str]
    batch_size: int
    workers: int

    def loader(self, rows: Sequence[int]) -> DataLoader[Sample]:
        """Some of them, by their places."""
        sampler: Any = list(rows)
        return DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=self.dataset.collate,
            num_workers=min(self.workers, -(-len(rows) // self.batch_size)),
        )
