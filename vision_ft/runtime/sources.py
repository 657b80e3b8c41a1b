"""From what a user names on a command line to photos."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vision_ft.errors import UsageError
from vision_ft.files import walk_photos
from vision_ft.runtime.photos import Named

STANDARD_INPUT = "-"
# How the names of archives end that are read in place.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_NOT_FETCHED = "a URL, and nothing is fetched: download it and name the file"


def photo_paths(named: Sequence[str], listed: Iterable[str]) -> Iterator[str | Named]:
    """The photos that are meant, one after the other.

    Args:
        named: files, which are taken whatever their suffix; folders, in which photos are looked for at any depth;
            archives (:data:`ARCHIVES`), whose photos are read where they are; ``-`` for a list on standard input, one
            path a line.
        listed: the lines of standard input; read only for ``-``.

    Returns:
        An iterator over paths, and over the photos of archives, with their content. What stands in a list is taken as
        it is, but for archives, so that one missing file there is one line of error, and the rest is predicted.

    Raises:
        UsageError: something named on the command line is not there, or a folder has no photo in it.
        DataError: a folder cannot be opened.
    """
    missing = [name for name in named if name != STANDARD_INPUT and not os.path.lexists(name)]
    if urls := [name for name in missing if _URL.match(name)]:
        raise UsageError(f"{', '.join(map(repr, urls))}: {_NOT_FETCHED}")
    if missing:
        raise UsageError(f"no file or folder {', '.join(map(repr, missing))}")
    if empty := [name for name in named if Path(name).is_dir() and next(walk_photos(Path(name)), None) is None]:
        raise UsageError(f"no photos below {', '.join(map(repr, empty))}")
    return _expand(named, listed)


def count_photos(named: Sequence[str]) -> int | None:
    """How many photos these are; ``None`` where only reading them through would tell."""
    count = 0
    for name in named:
        if name == STANDARD_INPUT or _is_archive(name):
            return None
        count += sum(1 for _ in walk_photos(Path(name))) if Path(name).is_dir() else 1
    return count


def _expand(named: Sequence[str], listed: Iterable[str]) -> Iterator[str | Named]:
    for name in named:
        if name == STANDARD_INPUT:
            for line in listed:
                if path := line.rstrip("\r\n"):
                    yield from _listed(path)
        elif Path(name).is_dir():
            yield from map(str, walk_photos(Path(name)))
        else:
            yield from _archived(name)


def _listed(path: str) -> Iterator[str | Named]:
    if _URL.match(path) and not os.path.lexists(path):
        yield Named(path, _NOT_FETCHED)
    else:
        yield from _archived(path)


def _archived(path: str) -> Iterator[str | Named]:
    if not _is_archive(path):
        yield path
        return
    # Only where there is an archive: it takes rich, and the libraries for it.
    from vision_ft.runtime.archived import photos_in

    yield from photos_in(path)


def _is_archive(path: str) -> bool:
    if not path.lower().endswith(ARCHIVES):
        return False
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - a name may be none that pathlib takes
    except (OSError, ValueError):
        return False
