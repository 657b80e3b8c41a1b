"""The one look at every photo that training, the check and the preparation start from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from vision_ft.data.listing import Listing
from vision_ft.data.manifest import SCHEMA, Manifest
from vision_ft.data.near import Greys, Hashes, Ints, groups_of, hashes_of, near_pairs, small_grey
from vision_ft.data.threads import each
from vision_ft.errors import UnreadablePhoto
from vision_ft.imaging import Facts, examine, file_bytes

# A standard deviation of grey values, of 255, below which a photo is as good as blank and its hash is noise.
BLANK = 3.0

FACTS = {
    "length": pl.Int64,
    "format": pl.String,
    "mode": pl.String,
    "deep": pl.Boolean,
    "animated": pl.Boolean,
    "turned": pl.Boolean,
    "transparent": pl.Boolean,
    "contrast": pl.Float64,
}


class Pairs(NamedTuple):
    """Near-duplicates: rows of the manifest, first < second, and how many of 256 bits differ."""

    first: Ints
    second: Ints
    distance: Ints


@dataclass(frozen=True)
class Survey:
    """What was seen.

    Attributes:
        manifest: without a split, but for what the layout says; unreadable photos have their problem written down.
        facts: a row a row of the manifest, columns as in :data:`FACTS`; null for unreadable photos.
        pairs: the near-duplicates among the readable photos; copies with the same bytes are among them.
    """

    manifest: Manifest
    facts: pl.DataFrame
    pairs: Pairs


class _Seen(NamedTuple):
    """One photo, as :func:`_look_at` saw it."""

    sha256: str | None = None
    length: int | None = None
    size: tuple[int, int] | None = None
    facts: Facts | None = None
    contrast: float | None = None
    hash: bytes | None = None
    problem: str | None = None


def survey(listing: Listing) -> Survey:
    """Read and decode every photo of a listing once.

    Every file is decoded to its last row: a header says nothing of what follows it. Photos that are the same, or
    nearly, get the same group: the lowest SHA-256 among them.
    """
    problems = listing.table["problem"].to_list()
    to_read = listing.table.filter(pl.col("problem").is_null())["path"]
    looked = iter(each([listing.root / path for path in to_read], _look_at, "reading photos"))
    seen = [next(looked) if problem is None else _Seen(problem=problem) for problem in problems]
    pairs = _pairs(seen)
    table = listing.table.with_columns(
        pl.Series("group", _groups(seen, pairs), pl.String),
        pl.Series("sha256", [one.sha256 for one in seen], pl.String),
        pl.Series("width", [one.size[0] if one.size else None for one in seen], pl.Int64),
        pl.Series("height", [one.size[1] if one.size else None for one in seen], pl.Int64),
        pl.Series("problem", [one.problem for one in seen], pl.String),
    ).select(list(SCHEMA))
    facts = pl.DataFrame(
        [(one.length, *(one.facts or (None,) * len(Facts._fields)), one.contrast) for one in seen],
        schema=FACTS,
        orient="row",
    )
    return Survey(Manifest(listing.root, listing.classes, table), facts, pairs)


def _look_at(paths: Sequence[Path]) -> list[_Seen]:
    seen, greys = [], []
    for path in paths:
        one, grey = _decode(path)
        seen.append(one)
        if grey is not None:
            greys.append(grey)
    if not greys:
        return seen
    stack = np.stack(greys)
    contrasts = stack.std(axis=(1, 2))
    looks = zip(contrasts.tolist(), hashes_of(stack), strict=True)
    return [one if one.facts is None else _with_looks(one, *next(looks)) for one in seen]


def _with_looks(one: _Seen, contrast: float, hashed: Hashes) -> _Seen:
    return one._replace(contrast=contrast, hash=hashed.tobytes() if contrast >= BLANK else None)


def _decode(path: Path) -> tuple[_Seen, Greys | None]:
    """All that is seen of a photo but its looks, and what these are to be had from."""
    try:
        data = file_bytes(path)
    except UnreadablePhoto as error:
        return _Seen(problem=str(error)), None
    known = _Seen(sha256=hashlib.sha256(data).hexdigest(), length=len(data))
    try:
        photo, facts = examine(data)
    except UnreadablePhoto as error:
        return known._replace(problem=str(error)), None
    return known._replace(size=photo.size, facts=facts), small_grey(photo)


def _pairs(seen: Sequence[_Seen]) -> Pairs:
    rows = np.array([row for row, one in enumerate(seen) if one.hash is not None], np.int64)
    if not len(rows):
        return Pairs(rows, rows, rows)
    joined = b"".join(one.hash for one in seen if one.hash is not None)
    hashes = np.frombuffer(joined, np.uint8).reshape(len(rows), -1)
    first, second, distance = near_pairs(hashes)
    return Pairs(rows[first], rows[second], distance)


def _groups(seen: Sequence[_Seen], pairs: Pairs) -> list[str | None]:
    """The lowest SHA-256 of those that each photo hangs together with, by its bytes or by its looks."""
    digests = [one.sha256 for one in seen]
    first_with: dict[str, int] = {}
    same = [(first_with.setdefault(digest, row), row) for row, digest in enumerate(digests) if digest is not None]
    left = np.concatenate([pairs.first, np.array([pair[0] for pair in same], np.int64)])
    right = np.concatenate([pairs.second, np.array([pair[1] for pair in same], np.int64)])
    numbers = groups_of(len(seen), left, right)
    lowest: dict[int, str] = {}
    for number, digest in zip(numbers.tolist(), digests, strict=True):
        if digest is not None:
            lowest[number] = min(digest, lowest.get(number, digest))
    return [lowest.get(number) for number in numbers.tolist()]
