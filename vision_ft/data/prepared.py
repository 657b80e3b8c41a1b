"""Manifests whose photos were looked at before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from vision_ft.data.listing import Listing
from vision_ft.data.manifest import Manifest
from vision_ft.data.survey import survey
from vision_ft.data.threads import each
from vision_ft.errors import UnreadablePhoto
from vision_ft.imaging import file_bytes


def recognise(listing: Listing) -> Manifest:
    """Make sure that the photos of a prepared manifest are still what they were, without decoding them again.

    Returns:
        The manifest; photos that are gone or have other bytes now have that as their problem.
    """
    if listing.prepared is None:
        raise ValueError("the listing is not of a prepared manifest")
    table = listing.prepared
    found = each([listing.root / path for path in table["path"]], _digests, "reading photos")
    problems = [_changed(was, now) for was, now in zip(table["sha256"], found, strict=True)]
    table = table.with_columns(pl.Series("problem", problems, pl.String))
    return Manifest(listing.root, listing.classes, table)


def manifest_of(listing: Listing) -> Manifest:
    """The manifest of a listing, by the shortest way that can be trusted."""
    return survey(listing).manifest if listing.prepared is None else recognise(listing)


def _changed(was: str | None, now: tuple[str | None, str | None]) -> str | None:
    digest, problem = now
    if problem is not None:
        return problem
    return None if was == digest else "it is not the photo that the manifest was made with; run data prepare again"


def _digests(paths: Sequence[Path]) -> list[tuple[str | None, str | None]]:
    """Each file's SHA-256, or why there is none."""
    return [_digest(path) for path in paths]


def _digest(path: Path) -> tuple[str | None, str | None]:
    try:
        return hashlib.sha256(file_bytes(path)).hexdigest(), None
    except UnreadablePhoto as error:
        return None, str(error)
