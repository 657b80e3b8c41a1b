"""Findings: a table with a row for each thing that was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from vision_ft.audit.kinds import KINDS

SCHEMA = {
    "kind": pl.String,  # a name out of KINDS
    "level": pl.String,
    "row": pl.Int64,  # of the manifest; null where a class as a whole is meant
    "path": pl.String,
    "label": pl.String,
    "split": pl.String,  # what the layout says; null where it says nothing
    "other": pl.String,  # the other photo of a pair
    "other_row": pl.Int64,
    "detail": pl.String,
    "score": pl.Float64,  # how sure it is, where that can be said; the larger the surer
}


@dataclass(frozen=True)
class Found:
    """One finding of one photo, or of a class.

    Attributes:
        kind: a name out of KINDS.
        row: of the manifest; ``None`` where a class is meant.
        detail: for people.
        label: of the class, where a class is meant.
        other: row of the other photo of a pair.
        score: the larger the surer.
    """

    kind: str
    row: int | None
    detail: str = ""
    label: str | None = None
    other: int | None = None
    score: float | None = None


def table_of(found: Iterable[Found], manifest: pl.DataFrame) -> pl.DataFrame:
    """The findings as a table, in the order of kinds; within a kind the surest first, then by path.

    Args:
        found: in any order.
        manifest: the table that their rows are of.
    """
    paths, labels = manifest["path"].to_list(), manifest["label"].to_list()
    splits = manifest["split"].to_list()
    rank = {name: place for place, name in enumerate(KINDS)}
    rows = [
        (
            one.kind,
            str(KINDS[one.kind].level),
            one.row,
            None if one.row is None else paths[one.row],
            one.label if one.row is None else labels[one.row],
            None if one.row is None else splits[one.row],
            None if one.other is None else paths[one.other],
            one.other,
            one.detail,
            one.score,
        )
        for one in found
    ]
    rows.sort(key=lambda row: (rank[row[0]], -(row[9] or 0.0), row[3] or "", row[6] or ""))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def counts(findings: pl.DataFrame) -> dict[str, int]:
    """How many photos (or classes) each kind was found in, in the order of kinds; kinds not found are not there."""
    # A pair is one finding with two photos, and a photo may be in several pairs: photos are what people count.
    seen = pl.concat([findings.select("kind", "row", "label"), findings.select("kind", row="other_row", label="label")])
    photos = seen.filter(pl.col("row").is_not_null()).group_by("kind").agg(pl.col("row").n_unique())
    classes = findings.filter(pl.col("row").is_null()).group_by("kind").len("row")
    found = dict(pl.concat([photos.cast({"row": pl.Int64}), classes.cast({"row": pl.Int64})]).iter_rows())
    return {name: found[name] for name in KINDS if name in found}
