"""Finding photos below a folder; the same for training and for prediction."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vision_ft.errors import DataError
from vision_ft.imaging import looks_like_photo

# Left behind by archivers and interpreters; other tools hide their leavings behind a leading dot.
LEAVINGS = frozenset({"__MACOSX", "__pycache__"})

_Item = TypeVar("_Item")


def walk_photos(folder: Path) -> Iterator[Path]:
    """All photos below a folder, in order, following links but never round in a circle; hidden folders are passed over.

    Raises:
        DataError: a folder cannot be opened. Its photos would otherwise be missing without a word.
    """
    seen: set[tuple[int, int]] = set()
    for top, children, files in os.walk(folder, followlinks=True, onerror=_refuse):
        here = Path(top).stat()
        if (here.st_dev, here.st_ino) in seen:
            children.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        children[:] = sorted(name for name in children if not name.startswith(".") and name not in LEAVINGS)
        yield from (Path(top, name) for name in sorted(files) if looks_like_photo(Path(name)))


def spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most ``count`` items, evenly spread over all of them, the first and the last included."""
    if len(items) <= count:
        return list(items)
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def shown(path: str) -> str:
    """A path as it is printed: on one line, and without signs that would change the screen."""
    return path if path.isprintable() else repr(path)


def _refuse(error: OSError) -> None:
    raise DataError(f"the folder {error.filename!r} cannot be read: {error.strerror}; mend its permissions") from error
