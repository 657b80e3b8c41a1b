"""What reading photos is made of, part by part, to be timed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from vision_ft.data.loading import PhotoDataset
from vision_ft.framing import Box, resize
from vision_ft.imaging import decode_part

# Of decoded photos that are held at once, in bytes: Pillow has four a pixel.
_MOST, _A_PIXEL = 256 << 20, 4


class Reading:
    """Decoding, framing and augmenting by themselves, each by as many threads as a loader has.

    Each method does its work on some photos and returns how many they were.
    """

    def __init__(self, dataset: PhotoDataset, rows: Sequence[int], threads: int) -> None:
        """Decode some photos.

        Args:
            dataset: with random views.
            rows: of the photos, which can be read.
            threads: that work at once.
        """
        self._dataset = dataset
        self._rows = rows
        self._pool = ThreadPoolExecutor(threads)
        self._decoded: list[tuple[int, Image.Image, Box]] = []
        held = 0
        for row in rows:
            photo, box = self._decode(row)
            held += photo.width * photo.height * _A_PIXEL
            if held > _MOST and self._decoded:
                break
            self._decoded.append((row, photo, box))

    def decode(self) -> int:
        """From the file to RGB pixels, no finer than prediction's framing needs."""
        return len(list(self._pool.map(self._decode, self._rows)))

    def frame(self) -> int:
        """From a decoded photo to what prediction shows the network."""
        return len(list(self._pool.map(lambda one: resize(one[1], self._dataset.framing, one[2]), self._decoded)))

    def augment(self) -> int:
        """From a decoded photo to a random view, its resampling included."""
        return len(list(self._pool.map(lambda one: self._dataset.view_of(one[1], one[0], 0), self._decoded)))

    def _decode(self, row: int) -> tuple[Image.Image, Box]:
        framing = self._dataset.framing
        return decode_part(self._dataset.path(row), framing, framing.box)
