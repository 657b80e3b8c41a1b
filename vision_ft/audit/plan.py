"""From findings to a manifest: what is left out, and what gets another label."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import polars as pl

from vision_ft.audit.known import known_faults, right_label
from vision_ft.data.manifest import Manifest

# Of a pair that disagrees, nothing says which one is right.
_BOTH = frozenset({"label_conflict", "near_label_conflict"})


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
    settled: set[int] = set()
    chosen = findings.filter(pl.col("kind").is_in(list(fixes)) & pl.col("row").is_not_null())
    published = dict(known_faults().select("sha256", "label").iter_rows()) if "known" in fixes else {}
    digests = manifest.table["sha256"].to_list()
    for kind, row, other, detail in chosen.select("kind", "row", "other_row", "detail").iter_rows():
        if kind == "known" and (right := right_label(published[digests[row]], manifest.classes)) is not None:
            labels[row] = right
            # Whatever else speaks against its label spoke of the wrong one.
            settled.add(row)
            continue
        for one in (row, other) if kind in _BOTH else (row,):
            if problems[one] is None and one not in settled:
                problems[one] = f"left out: {kind}" + (f": {detail}" if detail else "")
    table = manifest.table.with_columns(
        pl.Series("problem", problems, pl.String), pl.Series("label", labels, pl.String)
    )
    return replace(manifest, table=table)
