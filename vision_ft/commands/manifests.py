"""The manifests that ``data prepare`` finds and leaves in a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from vision_ft.audit.earlier import Parts, parts_before
from vision_ft.data.manifest import Manifest
from vision_ft.data.tables import TABLES
from vision_ft.errors import DataError

_STEM = "manifest"
_BEFORE = ".before-"


def names_of(kind: str, folds: int | None) -> list[str]:
    """The names of the manifests: one, or one a fold."""
    parts = [""] if folds is None else [f".fold-{fold}" for fold in range(folds)]
    return [f"{_STEM}{part}.{kind}" for part in parts]


def read_earlier(asked: Sequence[Path] | None, out: Path, files: Sequence[Path]) -> Parts:
    """The parts of the manifests that were asked for, or else of those that lie where new ones are to be written.

    Raises:
        DataError: one is missing or is no manifest; or others lie there than would be written, whose sides would be
            lost without a word.
    """
    if asked is None:
        there = [path for path in sorted(out.glob(f"{_STEM}*")) if path.suffix in TABLES and _BEFORE not in path.name]
        if there and {path.name for path in there} != {file.name for file in files}:
            raise DataError(
                f"--out: {str(out)!r} holds {', '.join(path.name for path in there)}, made with another --format or "
                "--folds; give them with --earlier to keep their sides and write to another --out"
            )
        asked = files if there else []
    known = [path.expanduser() for path in asked]
    if missing := [path for path in known if not path.exists()]:
        raise DataError(f"{missing[0]}: no such manifest; give one, or all of its folds")
    if len(known) > 1 and len(known) != len(files):
        raise DataError(f"--earlier: {len(known)} manifests for {len(files)}; give one, or one a fold")
    if len(known) == 1 and len(files) > 1:
        raise DataError("--earlier: the sides of one manifest say nothing of folds; give one a fold, or leave it out")
    return parts_before([Manifest.read(path, path.parent, ()) for path in known])


def seen_from(manifest: Manifest, out: Path) -> Manifest:
    """The same photos with paths as they are written in a table that lies in ``out``."""
    # Without links on the way, through which ".." would lead elsewhere.
    root, folder = manifest.root.resolve(), out.resolve()
    paths = [os.path.relpath(root / path, folder) for path in manifest.table["path"]]
    places = [Path(path).as_posix() for path in paths]
    return replace(manifest, root=out, table=manifest.table.with_columns(pl.Series("path", places, dtype=pl.String)))


def without_unused(manifest: Manifest) -> Manifest:
    """Photos that fixed numbers left over are left out: a fit would deal those that only lack a side."""
    unused = pl.col("problem").is_null() & pl.col("split").is_null()
    reason = pl.when(unused).then(pl.lit("left out: more than was asked for")).otherwise(pl.col("problem"))
    return replace(manifest, table=manifest.table.with_columns(problem=reason))


def write_all(manifests: Mapping[Path, Manifest]) -> list[Path]:
    """Write manifests, all or none; others that are there are kept, under the names that are returned."""
    new = {file: file.with_name(f".{file.name}") for file in manifests}
    try:
        for file, manifest in manifests.items():
            manifest.write(new[file])
        saved = []
        for file, place in new.items():
            if file.exists() and file.read_bytes() != place.read_bytes():
                saved.append(next(path for path in _numbered(file) if not path.exists()))
                shutil.copy2(file, saved[-1])
        for file, place in new.items():
            place.replace(file)
    finally:
        for place in new.values():
            place.unlink(missing_ok=True)
    return saved


def _numbered(file: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield file.with_name(f"{file.stem}{_BEFORE}{number}{file.suffix}")
        number += 1
