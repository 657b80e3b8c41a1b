"""What frozen backbones made of photos, on the disk, so that no photo is looked at twice by the same eyes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vision_ft.errors import ConfigError
from vision_ft.lock import waiting

Values: TypeAlias = npt.NDArray[np.float32]

_FEATURES, _ROWS, _ABOUT, _LOCK = "vision-ft-features", "rows.bin", "about.json", ".lock"
_DIGEST = 32


def default_root() -> Path:
    """Where caches lie by the system's custom, or where ``VISION_FT_CACHE`` says."""
    asked = os.environ.get("VISION_FT_CACHE")
    if asked:
        return Path(asked).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vision_ft"


def key_of(sha256: str, view: str = "") -> bytes:
    """What a row goes by.

    Args:
        sha256: of the photo's file, in hexadecimal.
        view: what was done to the photo beyond its framing, in words that name it and nothing else.
    """
    return hashlib.sha256(f"{sha256}\n{view}".encode()).digest()


class FeatureStore:
    """Features by photo, for one backbone with its weights, its preprocessing and the engine that it runs in.

    A file of rows of one length, appended to, and read through a memory map: a key, a checksum over the rest of the
    row, and the values. A row whose checksum is wrong, or of which a part is missing, is as if it were not there.
    """

    def __init__(self, root: Path, about: Mapping[str, Any], width: int, most: int) -> None:
        """Open the store of what ``about`` says, or begin one.

        Args:
            root: holds all caches.
            about: everything that features hang on besides the photo; with another value it is another store.
            width: how many features a photo has.
            most: bytes that all stores below the root may take.

        Raises:
            ConfigError: nothing can be written there.
        """
        text = json.dumps({**about, "width": width}, sort_keys=True)
        self._folder = root / _FEATURES / hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
        self._root, self._most = root, most
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Its time says when the store was last of use.
            (self._folder / _ABOUT).write_text(text)
        except OSError as error:
            raise ConfigError(
                f"cache.folder: {str(root)!r} cannot hold a cache: {error.strerror}; name another, or set "
                "cache.gigabytes to 0"
            ) from error
        self._path = self._folder / _ROWS
        self._row = np.dtype([("key", f"V{_DIGEST}"), ("check", "<u4"), ("values", "<f4", (width,))])
        self._rows, self._places = self._read()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Values]:
        """The features (features,) of those that are known; the others are left out."""
        found = {}
        for key in keys:
            place = self._places.get(key)
            if place is not None and self._rows[place]["check"] == _checksum(key, self._rows[place]["values"]):
                found[key] = self._rows[place]["values"]
        return found

    def add(self, features: Mapping[bytes, Values]) -> bool:
        """Write features down; they are there for whoever opens the store from now on.

        Returns:
            Whether there was room for them, where necessary in the place of stores that were not used for longest.

        Raises:
            OSError: they cannot be written.
        """
        rows = np.empty(len(features), self._row)
        for place, (key, values) in enumerate(features.items()):
            rows[place] = (np.void(key), _checksum(key, values), values)
        held = self._path.stat().st_size if self._path.exists() else 0
        if held + rows.nbytes > self._most:
            return False
        self._make_room(self._most - held - rows.nbytes)
        with (self._folder / _LOCK).open("w") as lock, waiting(lock), self._path.open("ab") as file:
            # What another process was killed while writing must not shift all that follows.
            file.truncate(file.tell() - file.tell() % self._row.itemsize)
            file.write(rows.tobytes())
        self._rows, self._places = self._read()
        return True

    def _make_room(self, left: int) -> None:
        """Remove other stores, the one that was not used for longest first, until they take no more than ``left``."""
        others = [folder for folder in _stores(self._root) if folder != self._folder]
        sizes = {folder: sum(file.stat().st_size for file in folder.iterdir()) for folder in others}
        for folder in sorted(others, key=_last_used):
            if sum(sizes.values()) <= left:
                return
            shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]

    def _read(self) -> tuple[npt.NDArray[Any], dict[bytes, int]]:
        whole = self._path.stat().st_size // self._row.itemsize if self._path.exists() else 0
        if not whole:
            return np.empty(0, self._row), {}
        rows = np.memmap(self._path, self._row, mode="r", shape=(whole,))
        # Of a key that is there twice, the later row: the earlier may be the one that was found to be wrong.
        return rows, {key.tobytes(): place for place, key in enumerate(rows["key"])}


def clear(root: Path) -> None:
    """Remove all stores, and nothing else."""
    for folder in _stores(root):
        shutil.rmtree(folder, ignore_errors=True)


def _stores(root: Path) -> list[Path]:
    folder = root / _FEATURES
    return [one.parent for one in folder.glob(f"*/{_ABOUT}")] if folder.is_dir() else []


def _last_used(folder: Path) -> float:
    return (folder / _ABOUT).stat().st_mtime


def _checksum(key: bytes, values: Values) -> int:
    return zlib.crc32(values.tobytes(), zlib.crc32(key))
