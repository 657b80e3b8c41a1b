"""The one look at every photo that training, the check and the preparation start from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import track

from vision_ft.data.listing import Listing
from vision_ft.data.manifest import SCHEMA, Manifest
from vision_ft.data.near import Ints, groups_of, hash_of, near_pairs, small_grey
from vision_ft.errors import UnreadablePhoto
from vision_ft.imaging import Facts, examine

_CHUNK = 32
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

_Result = TypeVar("_Result")


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

    sha256: str | None
    length: int | None
    size: tuple[int, int] | None
    facts: Facts | None
    contrast: float | None
    hash: bytes | None
    problem: str | None


def survey(listing: Listing) -> Survey:
    """Read and decode every photo of a listing once.

    Every file is decoded to its last row: a header says nothing of what follows it. Photos that are the same, or
    nearly, get the same group: the lowest SHA-256 among them.
    """
    problems = listing.table["problem"].to_list()
    paths = listing.table["path"].to_list()
    looked = _each(
        [None if problem else listing.root / path for path, problem in zip(paths, problems, strict=True)],
        _look_at,
        "reading photos",
    )
    seen = [
        _Seen(None, None, None, None, None, None, problem) if one is None else one
        for one, problem in zip(looked, problems, strict=True)
    ]
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


def recognise(listing: Listing) -> Manifest:
    """Make sure that the photos of a prepared manifest are still what they were, without decoding them again.

    Returns:
        The manifest; photos that are gone or have other bytes now have that as their problem.
    """
    if listing.prepared is None:
        raise ValueError("the listing is not of a prepared manifest")
    table = listing.prepared
    paths: list[Path | None] = [listing.root / path for path in table["path"]]
    found = _each(paths, _digest, "reading photos")
    problems = [_changed(was, now) for was, now in zip(table["sha256"], found, strict=True)]
    table = table.with_columns(pl.Series("problem", problems, pl.String))
    return Manifest(listing.root, listing.classes, table)


def manifest_of(listing: Listing) -> Manifest:
    """The manifest of a listing, by the shortest way that can be trusted."""
    return survey(listing).manifest if listing.prepared is None else recognise(listing)


def _changed(was: str | None, now: tuple[str | None, str | None] | None) -> str | None:
    if now is None:
        return None
    digest, problem = now
    if problem is not None:
        return problem
    return None if was == digest else "it is not the photo that the manifest was made with; run data prepare again"


def _look_at(path: Path) -> _Seen:
    try:
        data = path.read_bytes()
    except OSError as error:
        return _Seen(None, None, None, None, None, None, error.strerror or str(error))
    except ValueError as error:  # a path with a zero byte in it
        return _Seen(None, None, None, None, None, None, str(error))
    digest = hashlib.sha256(data).hexdigest()
    try:
        photo, facts = examine(data)
    except UnreadablePhoto as error:
        return _Seen(digest, len(data), None, None, None, None, str(error))
    grey = small_grey(photo)
    contrast = float(grey.std())
    hashed = hash_of(grey).tobytes() if contrast >= BLANK else None
    return _Seen(digest, len(data), photo.size, facts, contrast, hashed, None)


def _digest(path: Path) -> tuple[str | None, str | None]:
    """A file's SHA-256, or why there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), None
    except OSError as error:
        return None, error.strerror or str(error)


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


def _each(paths: Sequence[Path | None], look: Callable[[Path], _Result], doing: str) -> list[_Result | None]:
    """What is seen of each path, in order; nothing of a path that is not there."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]

    def look_at_chunk(chunk: Sequence[Path | None]) -> list[_Result | None]:
        return [None if path is None else look(path) for path in chunk]

    # Decoding and hashing leave the interpreter's lock, so threads are enough and start at once.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return [one for chunk in _shown(pool.map(look_at_chunk, chunks), doing, len(chunks)) for one in chunk]


def _shown(results: Iterable[_Result], doing: str, total: int) -> Iterable[_Result]:
    console = Console(stderr=True)
    return track(results, doing, total=total, console=console, transient=True, disable=not console.is_terminal)
