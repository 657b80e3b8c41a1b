"""The same photo, or nearly, more than once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from vision_ft.audit.findings import Found
from vision_ft.data.listing import RANK
from vision_ft.data.survey import Survey


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

    distances = {
        frozenset((first, second)): distance
        for first, second, distance in zip(*(column.tolist() for column in seen.pairs), strict=True)
    }
    groups: dict[str, list[int]] = defaultdict(list)
    for row, (group, good) in enumerate(zip(table["group"].to_list(), readable, strict=True)):
        if good:
            groups[group].append(row)
    for rows in groups.values():
        if len({digests[row] for row in rows}) > 1:
            yield from _near(rows, labels, splits, digests, distances)


def _near(
    rows: list[int],
    labels: list[str],
    splits: list[str | None],
    digests: list[str],
    distances: dict[frozenset[int], int],
) -> Iterator[Found]:
    """What is wrong with photos that hang together by their looks, directly or through others of them.

    All of a group are held against the one that would be kept: a pair by itself does not show what the others are.
    """
    kept, *others = sorted(rows, key=lambda row: (RANK[splits[row]], row))
    in_conflict = len({labels[row] for row in rows}) > 1
    for row in others:
        if in_conflict:
            kind = "near_label_conflict"
        elif digests[row] == digests[kept]:
            continue  # an exact copy, and named as one
        elif _on_two_sides(splits[row], splits[kept]):
            kind = "near_leak"
        else:
            kind = "near_copy"
        distance = distances.get(frozenset((row, kept)))
        detail = "alike by way of others" if distance is None else f"{distance} of 256 bits differ"
        yield Found(kind, row, detail, other=kept, score=None if distance is None else 1 - distance / 256)


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
