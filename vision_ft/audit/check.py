"""All that can be found, from one look at the photos and, where they were asked for, a backbone's features."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from vision_ft.audit.copies import copy_findings
from vision_ft.audit.files import Limits, class_findings, file_findings
from vision_ft.audit.findings import Found, counts, table_of
from vision_ft.audit.known import known_findings
from vision_ft.data.listing import quoted
from vision_ft.data.manifest import Manifest
from vision_ft.data.survey import Survey


@dataclass(frozen=True)
class Seen:
    """What a frozen backbone saw.

    Attributes:
        rows: int64 (photos,), rows of the manifest.
        values: float32 (photos, features).
    """

    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Audit:
    """What a check found.

    Attributes:
        findings: columns as in :data:`vision_ft.audit.findings.SCHEMA`.
        ranking: path, label, margin and probability of each class, the most doubtful label first; ``None`` where labels
            were not judged.
        notes: what was not looked for, and why.
    """

    findings: pl.DataFrame
    ranking: pl.DataFrame | None
    notes: tuple[str, ...]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many photos (or classes) each kind was found in, in the order of kinds."""
        return counts(self.findings)


def audit(survey: Survey, limits: Limits, seen: Seen | None) -> Audit:
    """Look for everything.

    Args:
        survey: of all photos.
        limits: from where on a photo is found fault with.
        seen: the readable photos' features; ``None`` leaves out what is judged by them.
    """
    manifest = survey.manifest
    found = [
        *file_findings(survey, limits),
        *copy_findings(survey),
        *known_findings(manifest),
        *class_findings(survey, limits),
    ]
    if seen is None:
        return Audit(table_of(found, manifest.table), None, ("labels and strange pictures: not asked for",))
    # A blank photo has no looks to judge it by.
    blank = {one.row for one in found if one.kind == "near_blank"}
    shown = np.array([row not in blank for row in seen.rows.tolist()], bool)
    judged, order, notes = _judge(manifest, seen.rows[shown], seen.values[shown])
    return Audit(table_of([*found, *judged], manifest.table), order, notes)


def _judge(
    manifest: Manifest, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32]
) -> tuple[list[Found], pl.DataFrame | None, tuple[str, ...]]:
    # scikit-learn takes half a second to import, which a check without it need not wait for.
    from vision_ft.audit.judged import FEWEST, most_folds, neither_findings, out_of_fold, ranking, suspect_findings

    photos = manifest.table[rows]
    labels, groups = manifest.labels(photos), photos["group"].to_list()
    notes: list[str] = []
    order = None
    found = list(neither_findings(rows, values, labels, groups))
    sizes = Counter(labels)
    small = [name for number, name in enumerate(manifest.classes) if sizes[number] < FEWEST]
    if small:
        notes.append(f"pictures of no class in {quoted(small)}: with fewer than {FEWEST} photos nothing is usual")
    if most_folds(labels, groups) < 2:
        notes.append("suspected labels: every class needs two different photos or more")
    else:
        probabilities = out_of_fold(values, labels, groups, len(manifest.classes))
        places, margin = ranking(probabilities, labels)
        strange = {one.row for one in found}
        # A picture of no class is labelled wrongly in any case; it is named once, for what it is.
        found += [
            one
            for one in suspect_findings(rows, probabilities, margin, labels, manifest.classes)
            if one.row not in strange
        ]
        order = photos.select("path", "label").with_columns(
            pl.Series("margin", margin),
            *(pl.Series(f"p({name})", probabilities[:, number]) for number, name in enumerate(manifest.classes)),
        )[places]
    return found, order, tuple(notes)
