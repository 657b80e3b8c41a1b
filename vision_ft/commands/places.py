"""Where a check and a preparation may write: nowhere among the photos, and over nothing of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vision_ft.data.listing import Listing, as_text
from vision_ft.errors import NO_SPACE, DataError

FINDINGS, RANKING, PAGE = "findings.csv", "labels.csv", "check.html"
# What files of ours begin with; others under these names are the user's.
_OURS = {
    FINDINGS: b"kind,level,path,label,",
    RANKING: b"path,label,margin",
    PAGE: b"<!doctype html>\n<!-- vision-ft data check -->",
}
# How pathlib says that a path leads nowhere.
_PATH_TROUBLE = ("Symlink loop", "Could not determine home")


@contextmanager
def usable_places(root: Path, out: Path) -> Iterator[None]:
    """Turn what the system says of a wrong place into a line for people.

    Raises:
        DataError: a path cannot be used, or nothing can be written there.
    """
    for path in (root, out):
        if as_text(str(path)) != str(path):
            raise DataError(f"{os.fsencode(path)!r} is not UTF-8; rename it")
    try:
        yield
    except OSError as error:
        # These are answered for every command alike.
        if error.errno in NO_SPACE or isinstance(error, BrokenPipeError) or error.strerror is None:
            raise
        raise DataError(f"{error.filename}: {error.strerror}; name another place, or mend this one") from error
    except RuntimeError as error:
        if not str(error).startswith(_PATH_TROUBLE):
            raise
        raise DataError(f"{root} or {out}: {error}; name another place") from error


def refuse_inside(root: Path, out: Path) -> None:
    """Nothing is written into the user's own photos, nor over a file that is not ours.

    Raises:
        DataError: the folder to write to lies in the folder of photos, is a file, or holds a file of the user's under
            a name of ours.
    """
    if root.is_dir() and out.resolve().is_relative_to(root.resolve()):
        raise DataError(f"--out: {str(out)!r} lies in {str(root)!r}, where nothing is written; name another place")
    if out.exists() and not out.is_dir():
        raise DataError(f"--out: {str(out)!r} is a file; name a folder")
    for name, start in _OURS.items():
        file = out / name
        if os.path.lexists(file) and (root.resolve() == file.resolve() or not _begins(file, start)):
            raise DataError(f"--out: {str(file)!r} is a file of yours and is not written over; name another folder")


def _begins(file: Path, start: bytes) -> bool:
    return file.is_file() and file.open("rb").read(len(start)) == start


def refuse_among(listing: Listing, out: Path) -> None:
    """As :func:`refuse_inside`, for the photos of a table and for folders that are links."""
    place = out.resolve()
    for parent in {os.path.dirname(path) for path in listing.table["path"]}:  # noqa: PTH120 - for a million paths
        if parent and place == (listing.root / parent).resolve():
            raise DataError(f"--out: photos lie in {str(out)!r}, where nothing is written; name another place")
