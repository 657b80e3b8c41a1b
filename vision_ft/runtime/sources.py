"""From what a user names on a command line to paths of photos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vision_ft.errors import UsageError
from vision_ft.files import walk_photos

STANDARD_INPUT = "-"


def photo_paths(named: Sequence[str], listed: Iterable[str]) -> Iterator[str]:
    """The photos that are meant, one after the other.

    Args:
        named: files, which are taken whatever their suffix; folders, in which photos are looked for at any depth;
            ``-`` for a list on standard input, one path a line.
        listed: the lines of standard input; read only for ``-``.

    Returns:
        An iterator over paths. What stands in a list is taken as it is, so that one missing file there is one line of
        error, and the rest is predicted.

    Raises:
        UsageError: something named on the command line is not there, or a folder has no photo in it.
        DataError: a folder cannot be opened.
    """
    if missing := [name for name in named if name != STANDARD_INPUT and not os.path.exists(name)]:  # noqa: PTH110
        raise UsageError(f"no file or folder {', '.join(map(repr, missing))}")
    if empty := [name for name in named if Path(name).is_dir() and next(walk_photos(Path(name)), None) is None]:
        raise UsageError(f"no photos below {', '.join(map(repr, empty))}")
    return _expand(named, listed)


def _expand(named: Sequence[str], listed: Iterable[str]) -> Iterator[str]:
    for name in named:
        if name == STANDARD_INPUT:
            yield from (path for line in listed if (path := line.rstrip("\r\n")))
        elif Path(name).is_dir():
            yield from map(str, walk_photos(Path(name)))
        else:
            yield name
