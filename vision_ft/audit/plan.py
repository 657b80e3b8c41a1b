"""From findings to a manifest: what is left out, and what gets another label."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import polars as pl

from vision_ft.audit.known import known_faults, right_label
from vision_ft.data.listing import RANK
from vision_ft.data.manifest import Manifest

# Of a pair that disagrees, nothing says which one is right.
_BOTH = frozenset({"label_conflict", "near_label_conflict"})
# What is found against a label, and not against the photo.
_OF_A_LABEL = frozenset({"known", "suspect", "neither"})


_LEFT_OUT = "left out: "


def reason_of(problem: str) -> str | None:
    """The kind of finding that a photo was left out for; ``None`` where it could not be read."""
    return problem.removeprefix(_LEFT_OUT).partition(":")[0] if problem.startswith(_LEFT_OUT) else None


def mend(manifest: Manifest, findings: pl.DataFrame, fixes: Collection[str]) -> Manifest:
    """Apply the fixes of some kinds of findings.

    Args:
        manifest: as it was surveyed.
        findings: of that manifest.
        fixes: names of kinds.

    Returns:
        The manifest in which photos that are left out have that as their problem. No row is taken away.
    """
    problems: list[str | None] = manifest.table["problem"].to_list()
    labels: list[str] = manifest.table["label"].to_list()
    relabelled: set[int] = set()
    chosen = findings.filter(pl.col("kind").is_in(list(fixes)) & pl.col("row").is_not_null())
    published = dict(known_faults().select("sha256", "label").iter_rows()) if "known" in fixes else {}
    digests = manifest.table["sha256"].to_list()
    # Labels are put right first: what spoke against the wrong one speaks no more.
    for row in chosen.filter(pl.col("kind") == "known")["row"].to_list():
        if (right := right_label(published[digests[row]], manifest.classes)) is not None:
            labels[row] = right
            relabelled.add(row)
    for kind, row, other, detail in chosen.select("kind", "row", "other_row", "detail").iter_rows():
        if row in relabelled and kind in _OF_A_LABEL:
            continue
        both = kind in _BOTH
        if both and relabelled & {row, other} and labels[row] == labels[other]:
            continue
        for one in (row, other) if both else (row,):
            if problems[one] is None:
                problems[one] = f"{_LEFT_OUT}{kind}" + (f": {detail}" if detail else "")
    table = manifest.table.with_columns(
        pl.Series("problem", problems, pl.String), pl.Series("label", labels, pl.String)
    )
    return replace(manifest, table=table)


def apart(manifest: Manifest) -> list[int]:
    """Rows that are learnt from or validated on though a photo of their group is tested or validated on.

    That comes of sides that were given, or dealt before a photo was there that binds two groups to one.
    """
    rows = manifest.table.with_row_index("row").filter(pl.col("problem").is_null() & pl.col("split").is_not_null())
    rank = pl.col("split").replace_strict({side: place for side, place in RANK.items() if side}, return_dtype=pl.Int64)
    found = rows.with_columns(rank=rank).filter(pl.col("rank") > pl.col("rank").min().over("group"))
    return found["row"].to_list()


def leave_out(manifest: Manifest, rows: Collection[int], kind: str, detail: str) -> Manifest:
    """The manifest with some rows left out for a finding."""
    row = pl.int_range(pl.len())
    reason = pl.when(row.is_in(list(rows))).then(pl.lit(f"{_LEFT_OUT}{kind}: {detail}")).otherwise(pl.col("problem"))
    return replace(manifest, table=manifest.table.with_columns(problem=reason))
