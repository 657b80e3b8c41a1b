"""Earlier manifests: a photo that was dealt once stays on its side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vision_ft.data.listing import TRAIN, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.data.split import fold_part

# How the parts of photos are found again: by contents, and by place for those that were edited.
Parts = dict[str, str]


def parts_before(manifests: Sequence[Manifest]) -> Parts:
    """The part of each photo of some earlier manifests.

    Args:
        manifests: one; or one a fold, in order, of which each photo is for validation in one.

    Returns:
        By SHA-256, and by absolute path.
    """
    parts: Parts = {}
    in_folds = len(manifests) > 1
    for fold, manifest in enumerate(manifests):
        for path, sha256, side in manifest.table.select("path", "sha256", "split").iter_rows():
            part = fold_part(fold) if in_folds and side == VAL else side
            if part is None or (in_folds and part == TRAIN):
                continue
            parts[_place(manifest.root.resolve() / path)] = part
            if sha256 is not None:
                parts[sha256] = part
    return parts


def kept_parts(manifest: Manifest, before: Parts) -> Parts:
    """The parts that the photos of a manifest had before, by their path in it."""
    kept = {}
    for path, sha256, problem in manifest.table.select("path", "sha256", "problem").iter_rows():
        # A copy that is left out never had a side, whatever side the photo has that it is a copy of.
        by_contents = None if problem is not None or sha256 is None else before.get(sha256)
        part = by_contents or before.get(_place(manifest.root.resolve() / path))
        if part is not None:
            kept[path] = part
    return kept


def _place(path: Path) -> str:
    # Up and down again, but not through links: a photo that is a link is found by the link.
    return os.path.normpath(path)
