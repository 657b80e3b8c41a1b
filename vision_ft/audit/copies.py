"""The same photo, or nearly, more than once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from vision_ft.audit.findings import Found
from vision_ft.data.listing import TEST, TRAIN, VAL
from vision_ft.data.survey import Survey

# Which copy is kept where two sides have one: what is measured on must not change.
RANK = {TEST: 0, VAL: 1, TRAIN: 2, None: 3}


def copy_findings(seen: Survey) -> Iterator[Found]:
    """Exact copies by SHA-256, near ones by perceptual hash, each under its worst name."""
    table = seen.manifest.table
    readable = table["problem"].is_null().to_list()
    labels, splits, digests = table["label"].to_list(), table["split"].to_list(), table["sha256"].to_list()

    copies: dict[str, list[int]] = defaultdict(list)
    for row, (digest, good) in enumerate(zip(digests, readable, strict=True)):
        if good:
            copies[digest].append(row)
    for rows in copies.values():
        if len(rows) > 1:
            yield from _exact(rows, labels, splits)

    for first, second, distance in zip(*(column.tolist() for column in seen.pairs), strict=True):
        if digests[first] == digests[second]:
            continue
        kind = "near_copy"
        if labels[first] != labels[second]:
            kind = "near_label_conflict"
        elif _on_two_sides(splits[first], splits[second]):
            kind = "near_leak"
        # The photo that would be kept is named as the other one.
        row, kept = sorted((first, second), key=lambda one: (RANK[splits[one]], one), reverse=True)
        yield Found(kind, row, f"{distance} of 256 bits differ", other=kept, score=1 - distance / 256)


def _exact(rows: list[int], labels: list[str], splits: list[str | None]) -> Iterator[Found]:
    kept, *others = sorted(rows, key=lambda row: (RANK[splits[row]], row))
    for row in others:
        if len({labels[one] for one in rows}) > 1:
            kind = "label_conflict"
            detail = f"{labels[row]!r} here, {labels[kept]!r} there" if labels[row] != labels[kept] else ""
        elif _on_two_sides(splits[row], splits[kept]):
            kind, detail = "leak", f"{splits[row]} here, {splits[kept]} there"
        else:
            kind, detail = "copy", ""
        yield Found(kind, row, detail, other=kept, score=1.0)


def _on_two_sides(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other
