"""Known faults of published sets, by the contents of the file.

The tables lie in ``vision_ft/audit/known``; data/README.md says how one is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import polars as pl

from vision_ft.audit.findings import Found
from vision_ft.data.manifest import Manifest

SCHEMA = {
    "sha256": pl.String,  # of the file
    "name": pl.String,  # as it was published
    "label": pl.String,  # the class that it is of; empty where it is of no single one
    "note": pl.String,  # what is to be seen
}


def known_faults() -> pl.DataFrame:
    """All tables in one, columns as in :data:`SCHEMA`."""
    folder = files("vision_ft.audit") / "known"
    tables = [
        pl.read_csv(entry.read_bytes(), schema=SCHEMA)
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".csv")
    ]
    return pl.concat(tables)


def right_label(name: str | None, classes: tuple[str, ...]) -> str | None:
    """The class of ours that a published name means, in any case of letters; ``None`` where there is none."""
    return next((one for one in classes if name is not None and one.casefold() == name.casefold()), None)


def known_findings(manifest: Manifest) -> Iterator[Found]:
    """Files that are in a table, unless they have the right label here."""
    faults = {sha256: (label, note) for sha256, _, label, note in known_faults().iter_rows()}
    digests, labels = manifest.table["sha256"].to_list(), manifest.table["label"].to_list()
    for row, (digest, label) in enumerate(zip(digests, labels, strict=True)):
        if digest in faults:
            published, note = faults[digest]
            right = right_label(published, manifest.classes)
            # A set may be labelled otherwise, by breed say: then a published label says nothing here.
            if published is None or right not in (None, label):
                yield Found("known", row, note, score=1.0)
