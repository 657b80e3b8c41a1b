"""The sides that photos had in earlier runs, by contents: what was learnt from once is not measured on later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from vision_ft.data.listing import RANK, SPLITS, TRAIN
from vision_ft.data.manifest import Manifest, read_frame
from vision_ft.errors import DataError

_COLUMNS = ("sha256", "split")


def read_sides(path: Path) -> dict[str, str]:
    """The side of each photo, by SHA-256, of a manifest or of what :func:`write_sides` wrote.

    Raises:
        DataError: the file is missing or is no such table.
    """
    try:
        table = read_frame(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"data.earlier: {str(path)!r} cannot be read: {reason}; name a manifest, or null") from error
    if lacking := [name for name in _COLUMNS if name not in table.columns]:
        raise DataError(f"data.earlier: {str(path)!r} is no manifest: it lacks the columns {', '.join(lacking)}")
    return _merged(table.select(_COLUMNS).drop_nulls().iter_rows())


def kept_sides(manifest: Manifest, before: Mapping[str, str]) -> dict[str, str]:
    """The sides that the readable photos of a manifest had before, by their path in it."""
    rows = manifest.readable.select("path", "sha256").iter_rows()
    return {path: before[sha256] for path, sha256 in rows if sha256 in before}


def write_sides(path: Path, manifest: Manifest, before: Mapping[str, str]) -> None:
    """Write down the side of each photo of a run, and of those that runs before it knew."""
    now = _merged(manifest.readable.select(_COLUMNS).drop_nulls().iter_rows())
    known = {**before, **now}
    pl.DataFrame([list(known), list(known.values())], schema=dict.fromkeys(_COLUMNS, pl.String)).write_csv(path)


def _merged(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    sides: dict[str, str] = {}
    for sha256, side in rows:
        if side in SPLITS:
            # A photo that was there twice must not be learnt from where it was tested on.
            sides[sha256] = min(sides.get(sha256, side), side, key=lambda one: RANK.get(one, RANK[TRAIN]))
    return sides
