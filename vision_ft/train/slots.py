"""Tensors by place, in a file without a name: memory stays small, and nothing is left behind, whatever happens."""

from __future__ import annotations

import logging
import math
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

_log = logging.getLogger(__name__)


class Slots:
    """Rows of one shape and type. The system keeps in memory of them what it has room for."""

    def __init__(self, folder: Path, most: int) -> None:
        """Hold nothing yet.

        Args:
            folder: where the file lies; made if it is missing.
            most: bytes that it may have.
        """
        self._folder = folder
        self._most = most
        self._file: Any = None
        self._slots: dict[tuple[int, int], int] = {}
        self._shape: tuple[int, ...] = ()
        self._type = torch.float32
        self._full = not most

    def __contains__(self, place: tuple[int, int]) -> bool:
        """Whether the row of a place is there."""
        return place in self._slots

    def put(self, places: Sequence[tuple[int, int]], rows: torch.Tensor) -> None:
        """Keep rows, while there is room; the first decide on shape and type.

        Args:
            places: of each.
            rows: (places, ...), on the CPU.
        """
        if self._full or not places:
            return
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed with this
                weakref.finalize(self, self._file.close)
                self._shape, self._type = tuple(rows.shape[1:]), rows.dtype
            for place, row in zip(places, rows, strict=True):
                if place in self._slots:
                    continue
                slot = len(self._slots)
                if (slot + 1) * self._bytes > self._most:
                    self._full = True
                    _log.info("no more than %d views of photos are kept half-way; cache.gigabytes is reached", slot)
                    return
                self._file.seek(slot * self._bytes)
                data = memoryview(_bytes(row.contiguous()))
                while data:
                    data = data[self._file.write(data) :]
                self._slots[place] = slot
        except OSError as error:
            self._full = True
            _log.warning("no more views of photos are kept half-way: %s", error.strerror)

    def get(self, places: Sequence[tuple[int, int]]) -> torch.Tensor:
        """The rows of places that are there: (places, ...).

        Raises:
            KeyError: one is not.
        """
        rows = torch.empty((len(places), *self._shape), dtype=self._type)
        for place, row in zip(places, rows, strict=True):
            self._file.seek(self._slots[place] * self._bytes)
            data = memoryview(_bytes(row))
            while data:
                data = data[self._file.readinto(data) :]
        return rows

    @property
    def _bytes(self) -> int:
        """Of a row."""
        return math.prod(self._shape) * self._type.itemsize


def _bytes(row: torch.Tensor) -> Any:
    """The memory of a contiguous tensor."""
    return row.flatten().view(torch.uint8).numpy()
