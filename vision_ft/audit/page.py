"""The page of a check: one HTML file with everything in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from vision_ft.audit.check import Audit
from vision_ft.audit.kinds import KINDS, Kind, Level
from vision_ft.data.manifest import Manifest
from vision_ft.data.survey import Survey
from vision_ft.errors import UnreadablePhoto
from vision_ft.files import shown
from vision_ft.imaging import decode
from vision_ft.pages import environment, jpeg_url

# Of one kind, so many findings are shown with thumbnails; the table has them all.
_MOST = 60
_THUMBNAIL = 132


@dataclass(frozen=True)
class _Card:
    """One finding on the page; the pictures are data URLs, ``None`` where there is nothing to see."""

    path: str
    label: str | None
    split: str | None
    detail: str
    picture: str | None
    other: str | None
    other_label: str | None
    other_split: str | None
    other_picture: str | None


@dataclass(frozen=True)
class _Section:
    kind: Kind
    count: int
    cards: list[_Card]
    more: int


def write_page(path: Path, survey: Survey, audit: Audit, command: str) -> None:
    """Write the page.

    Args:
        path: of the HTML file; an earlier one is written over.
        survey: what was seen.
        audit: what was found.
        command: what to run next.
    """
    sections = [_section(KINDS[name], count, survey.manifest, audit.findings) for name, count in audit.counts.items()]
    page = (
        environment("vision_ft.audit")
        .get_template("page.html.jinja")
        .render(
            root=shown(str(survey.manifest.root.resolve())),
            photos=survey.manifest.table.height,
            readable=survey.manifest.readable.height,
            classes=_classes(survey.manifest),
            formats=_formats(survey.facts),
            sizes=_sizes(survey.manifest.readable),
            levels=[(level, [section for section in sections if section.kind.level is level]) for level in Level],
            verdict=verdict(audit),
            notes=audit.notes,
            command=command,
        )
    )
    path.write_text(page, encoding="utf-8")


def verdict(audit: Audit) -> str:
    """The whole check in a sentence."""
    found = audit.counts
    if not found:
        return "Nothing was found" + (
            " of what was looked for." if audit.notes else ": the photos are fit to train on."
        )
    count = {level: sum(KINDS[name].level is level for name in found) for level in Level}
    parts = [
        f"{count[level]} {'thing' if count[level] == 1 else 'things'} {what}"
        for level, what in (
            (Level.NECESSARY, "to mend before training"),
            (Level.RECOMMENDED, "to look at"),
            (Level.NOTE, "to know of"),
        )
        if count[level]
    ]
    return ", ".join(parts) + "."


def _section(kind: Kind, count: int, manifest: Manifest, findings: pl.DataFrame) -> _Section:
    of_kind = findings.filter(pl.col("kind") == kind.name)
    labels, splits = manifest.table["label"], manifest.table["split"]
    cards = [
        _Card(
            path=shown(row["path"]) if row["path"] is not None else "",
            label=row["label"],
            split=row["split"],
            detail=row["detail"],
            picture=_thumbnail(manifest.root, row["path"]),
            other=shown(row["other"]) if row["other"] is not None else None,
            other_label=None if row["other_row"] is None else labels[row["other_row"]],
            other_split=None if row["other_row"] is None else splits[row["other_row"]],
            other_picture=_thumbnail(manifest.root, row["other"]),
        )
        for row in of_kind.head(_MOST).iter_rows(named=True)
    ]
    return _Section(kind, count, cards, max(0, of_kind.height - _MOST))


def _thumbnail(root: Path, path: str | None) -> str | None:
    if path is None:
        return None
    try:
        photo = decode(root / path)
    except UnreadablePhoto:
        return None
    photo.thumbnail((_THUMBNAIL * 2, _THUMBNAIL))
    return jpeg_url(photo)


def _classes(manifest: Manifest) -> list[tuple[str, int, float]]:
    """Name, number of readable photos, and that as a share of the largest class's."""
    sizes = dict(manifest.readable.group_by("label").len().iter_rows())
    most = max(sizes.values(), default=1)
    return [(name, sizes.get(name, 0), sizes.get(name, 0) / most) for name in manifest.classes]


def _formats(facts: pl.DataFrame) -> list[tuple[str, int]]:
    table = facts.filter(pl.col("format").is_not_null()).group_by("format").len()
    return list(table.sort(["len", "format"], descending=[True, False]).iter_rows())


def _sizes(readable: pl.DataFrame) -> str:
    if not readable.height:
        return "none can be read"
    shorter = readable.select(pl.min_horizontal("width", "height"))["width"]
    low, middle, high = (int(shorter.quantile(share, "nearest") or 0) for share in (0.05, 0.5, 0.95))
    return f"shorter side {middle} pixels in the middle, {low} to {high} for nine in ten"
