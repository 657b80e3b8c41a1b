"""Photos to batches: the dataset, the order photos come in, and what a batch is."""

from __future__ import annotations

import functools
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, DistributedSampler, get_worker_info

from vision_ft.data.augment import Augmentation
from vision_ft.errors import UnreadablePhoto
from vision_ft.framing import Framing, Pixels, resize
from vision_ft.imaging import decode_part, file_bytes, read

# In which epoch, which photo, and whether it need not be read: both travel with the index, so workers that outlive an
# epoch need not be told.
Place: TypeAlias = tuple[int, int, bool]


class Sample(NamedTuple):
    """One photo; ``pixels`` is uint8 (height, width, 3), or why there are none; ``None`` if it was not to be read."""

    pixels: Pixels | str | None
    label: int
    row: int


class Batch(NamedTuple):
    """What a step gets.

    Attributes:
        pixels: uint8 tensor (photos, height, width, 3).
        labels: int64 tensor (photos,), class numbers.
        rows: int64 tensor (photos,), places in the dataset.
        unreadable: path and reason of photos that broke since they were first read; not in the tensors.
        places: the rows as plain numbers, for which no device has to be waited for.
        skipped: which photos were not to be read, one for one; their pixels are zeros.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor
    unreadable: list[tuple[str, str]]
    places: list[int]
    skipped: list[bool]


class PhotoDataset(Dataset[Sample]):
    """Photos with labels, framed or augmented."""

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Sequence[int],
        keys: Sequence[str],
        framing: Framing,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        digests: Sequence[str] | None = None,
        views: int | None = None,
    ) -> None:
        """Hold on to what is given; nothing is read yet.

        Args:
            paths: where the photos lie.
            labels: their class numbers.
            keys: what a photo's random views hang on: its path below the root, the same on every machine.
            framing: the size of what comes out.
            augmentation: random views; plain framing if not given.
            seed: of the random views.
            digests: the SHA-256 of the files, in hexadecimal; a file that has another one by now counts as unreadable.
            views: how many random views a photo has, which later epochs go through again; a new one each epoch if not
                given.
        """
        self._paths = list(paths)
        self._labels = list(labels)
        self._seeds = [zlib.crc32(key.encode()) for key in keys]
        self._framing = framing
        self._augmentation = augmentation
        self._seed = seed
        self._digests = digests
        self._views = views

    def __len__(self) -> int:
        """The number of photos."""
        return len(self._paths)

    @property
    def framing(self) -> Framing:
        """The size of what comes out, and how prediction frames a photo to it."""
        return self._framing

    def path(self, row: int) -> Path:
        """Where a photo lies."""
        return self._paths[row]

    def view(self, epoch: int) -> int:
        """Which of its views a photo has in an epoch."""
        if self._augmentation is None:
            return 0
        return epoch if self._views is None else epoch % self._views

    def __getitem__(self, place: Place | int) -> Sample:
        """The view of photo ``place[1]`` in epoch ``place[0]``; of a row alone, as Lightning asks, the first."""
        epoch, row, skip = (0, place, False) if isinstance(place, int) else place
        if skip:
            return Sample(None, self._labels[row], row)
        # Whoever asks is one of several processes or threads; OpenCV's own would only get in their way.
        cv2.setNumThreads(0)
        try:
            pixels = self.pixels(row, self.view(epoch))
        except UnreadablePhoto as error:
            return Sample(str(error), self._labels[row], row)
        return Sample(pixels, self._labels[row], row)

    def __getitems__(self, places: Sequence[Place | int]) -> list[Sample]:
        """The photos of a batch: in turn where several processes read, and otherwise by as many threads as compute."""
        if get_worker_info() is not None:
            return [self[place] for place in places]
        # Decoding and resampling leave the interpreter's lock.
        return list(_threads(torch.get_num_threads()).map(self.__getitem__, places))

    def pixels(self, row: int, view: int) -> Pixels:
        """A view of a photo, uint8 (height, width, 3).

        Raises:
            UnreadablePhoto: says why there is none.
        """
        data = file_bytes(self._paths[row])
        if self._digests is not None and hashlib.sha256(data).hexdigest() != self._digests[row]:
            raise UnreadablePhoto("it was changed since it was first read")
        augmentation = self._augmentation
        if augmentation is None:
            return read(data, self._framing)
        seed = self._seed_of(row, view)
        photo, box = decode_part(data, self._framing, lambda width, height: augmentation.box(width, height, seed))
        return augmentation.view(photo, box, seed)

    def describe(self, row: int, view: int) -> str:
        """All that a view hangs on besides the photo's file and the framing, in words; none if it is as framed."""
        return "" if self._augmentation is None else f"{self._seed_of(row, view)} {self._augmentation.described}"

    def view_of(self, photo: Image.Image, row: int, view: int) -> Pixels:
        """The random view of a photo that is decoded already and whole, uint8 (height, width, 3)."""
        if self._augmentation is None:
            return resize(photo, self._framing)
        return self._augmentation(photo, self._seed_of(row, view))

    def _seed_of(self, row: int, view: int) -> tuple[int, int, int]:
        return self._seed, view, self._seeds[row]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Stack the readable samples, and name the others."""
        good = [sample for sample in samples if not isinstance(sample.pixels, str)]
        pixels = np.zeros((len(good), self._framing.height, self._framing.width, 3), np.uint8)
        for place, sample in enumerate(good):
            if sample.pixels is not None:
                pixels[place] = sample.pixels
        return Batch(
            pixels=torch.from_numpy(pixels),
            labels=torch.tensor([sample.label for sample in good], dtype=torch.int64),
            rows=torch.tensor([sample.row for sample in good], dtype=torch.int64),
            unreadable=[
                (str(self._paths[sample.row]), sample.pixels) for sample in samples if isinstance(sample.pixels, str)
            ],
            places=[sample.row for sample in good],
            skipped=[sample.pixels is None for sample in good],
        )


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "photos")


if hasattr(os, "register_at_fork"):
    # A forked process has the pool, and none of its threads.
    os.register_at_fork(after_in_child=_threads.cache_clear)


class PhotoSampler(DistributedSampler[Place]):
    """The order of the photos: a pure function of seed, epoch and rank.

    A ``DistributedSampler``, because Lightning puts one of its own in the place of anything else.

    Attributes:
        skips: whether a photo (its epoch, its row) need not be read, asked when its turn is near.
    """

    def __init__(
        self, dataset: PhotoDataset, *, shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        """Shuffled, every rank gets equally many photos; in order, each photo comes exactly once over all ranks."""
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)
        self._done = 0
        self.skips: Callable[[int, int], bool] | None = None

    def go_on(self, epoch: int, done: int) -> None:
        """Begin in the middle of an epoch: its order is known without its photos having been read.

        Args:
            epoch: from 0.
            done: how many photos of it, on this rank, have been had; the next epoch is whole again.
        """
        self.set_epoch(epoch)
        self._done = done

    def __iter__(self) -> Iterator[Place]:
        """Yield places."""
        if self.shuffle:
            rows: Iterator[int] = super().__iter__()  # type: ignore[assignment]
        else:
            # Without the padding of the base class, which would count some photos twice.
            rows = iter(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]
        # The epoch as it is now: the loader asks for rows ahead, and may still do so when the next epoch is announced.
        epoch = self.epoch
        done, self._done = self._done, 0
        return ((epoch, row, self.skips is not None and self.skips(epoch, row)) for row in islice(rows, done, None))

    def __len__(self) -> int:
        """The number of photos of this rank."""
        if self.shuffle:
            return super().__len__()
        return len(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]
