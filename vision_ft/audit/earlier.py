"""Earlier manifests: a photo that was dealt once stays on its side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision_ft.data.listing import RANK, TRAIN, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.data.split import fold_part


@dataclass(frozen=True)
class Parts:
    """The parts that photos had.

    Attributes:
        by_place: SHA-256 and part, by absolute path.
        by_contents: part, by SHA-256.
        labels: by SHA-256, as they stood there.
    """

    by_place: dict[str, tuple[str | None, str]]
    by_contents: dict[str, str]
    labels: dict[str, str]


def parts_before(manifests: Sequence[Manifest]) -> Parts:
    """The part of each photo of some earlier manifests.

    Args:
        manifests: one; or one a fold, in order, of which each photo is for validation in one.
    """
    parts = Parts({}, {}, {})
    in_folds = len(manifests) > 1
    for fold, manifest in enumerate(manifests):
        columns = manifest.table.select("path", "sha256", "split", "label")
        for path, sha256, side, label in columns.iter_rows():
            if sha256 is not None:
                parts.labels[sha256] = label
            part = fold_part(fold) if in_folds and side == VAL else side
            if part is None or (in_folds and part == TRAIN):
                continue
            parts.by_place[_place(manifest.root.resolve() / path)] = sha256, part
            if sha256 is not None:
                # A photo that was there twice must not be learnt from where it was tested on.
                known = parts.by_contents.get(sha256, part)
                parts.by_contents[sha256] = min(known, part, key=lambda one: RANK.get(one, RANK[TRAIN]))
    return parts


def kept_parts(manifest: Manifest, before: Parts) -> dict[str, str]:
    """The parts that the photos of a manifest had before, by their path in it.

    A photo is found again where it lay, or by its contents where it was moved; one that was edited, where it lay.
    """
    kept = {}
    for path, sha256, problem in manifest.table.select("path", "sha256", "problem").iter_rows():
        digest, there = before.by_place.get(_place(manifest.root.resolve() / path), (None, None))
        # A copy that is left out never had a side, whatever side the photo has that it is a copy of.
        moved = None if problem is not None or sha256 is None else before.by_contents.get(sha256)
        part = there if there is not None and digest == sha256 else moved or there
        if part is not None:
            kept[path] = part
    return kept


def other_labels(manifest: Manifest, before: Parts) -> list[str]:
    """The paths of photos whose label stood otherwise in an earlier manifest: changed there by hand, most likely."""
    rows = manifest.table.select("path", "sha256", "label").iter_rows()
    return [path for path, sha256, label in rows if before.labels.get(sha256 or "", label) != label]


def _place(path: Path) -> str:
    # Up and down again, but not through links: a photo that is a link is found by the link.
    return os.path.normpath(path)
