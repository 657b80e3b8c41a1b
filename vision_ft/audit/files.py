"""What can be said of each file by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import polars as pl

from vision_ft.audit.findings import Found
from vision_ft.data.survey import Survey
from vision_ft.imaging import SUFFIXES


@dataclass(frozen=True)
class Limits:
    """From where on a photo is found fault with.

    Attributes:
        side: pixels of the shorter side below which a photo is too small.
        shape: longer side over shorter side, above which a shape is extreme.
        contrast: standard deviation of grey values, of 255, below which a photo is nearly blank.
        imbalance: photos of the largest class over those of the smallest, above which they are out of balance.
        few: photos of a class below which they are few.
    """

    side: int = 64
    shape: float = 3.0
    contrast: float = 6.0
    imbalance: float = 3.0
    few: int = 20


def file_findings(seen: Survey, limits: Limits) -> Iterator[Found]:
    """What each file's own bytes show."""
    table = pl.concat([seen.manifest.table.with_row_index("row"), seen.facts], how="horizontal")
    for row in table.iter_rows(named=True):
        if row["problem"] is not None:
            yield Found("empty" if row["length"] == 0 else "unreadable", row["row"], row["problem"])
        else:
            yield from _of_photo(row, limits)


def _of_photo(photo: dict[str, Any], limits: Limits) -> Iterator[Found]:
    row, width, height, contrast = photo["row"], photo["width"], photo["height"], photo["contrast"]
    size = f"{width} × {height} pixels"
    shape = max(width, height) / min(width, height)
    suffix = PurePath(photo["path"]).suffix.lower()
    if contrast < limits.contrast:
        yield Found("near_blank", row, f"grey values vary by {contrast:.1f} of 255", score=limits.contrast - contrast)
    if min(width, height) < limits.side:
        yield Found("too_small", row, size, score=limits.side - min(width, height))
    if shape > limits.shape:
        yield Found("extreme_shape", row, f"{size}: {shape:.1f} to 1", score=shape)
    if SUFFIXES.get(suffix, photo["format"]) != photo["format"]:
        yield Found("wrong_extension", row, f"{suffix} in the name, {photo['format']} in the file")
    if photo["animated"]:
        yield Found("animation", row, photo["format"])
    if photo["mode"] == "CMYK":
        yield Found("cmyk", row)
    if photo["deep"]:
        yield Found("deep", row)
    if photo["mode"] in ("P", "PA"):
        yield Found("palette", row)
    if photo["transparent"]:
        yield Found("transparency", row)
    if photo["turned"]:
        yield Found("rotated", row)


def class_findings(seen: Survey, limits: Limits) -> Iterator[Found]:
    """What the sizes of the classes show."""
    sizes = dict(seen.manifest.readable.group_by("label").len().iter_rows())
    counts = {name: sizes.get(name, 0) for name in seen.manifest.classes}
    largest = max(counts, key=counts.__getitem__)
    for name, count in counts.items():
        if counts[largest] > limits.imbalance * count:
            detail = f"{count} photos, and {counts[largest]} of {largest!r}"
            yield Found("imbalance", None, detail, label=name, score=counts[largest] / max(count, 1))
        if count < limits.few:
            yield Found("few", None, f"{count} photos", label=name, score=limits.few - count)
