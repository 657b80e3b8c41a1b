"""Tables of photos: a CSV or Parquet file with paths and labels, ours or the user's own."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from vision_ft.data.listing import SPLIT_NAMES, SPLITS, Listing, natural, quoted
from vision_ft.data.manifest import SCHEMA, read_frame
from vision_ft.errors import DataError

TABLES = (".csv", ".parquet")
# What people call these columns, in any case of letters; a table must have exactly one of each.
_PATH = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path")
_LABEL = ("label", "class", "category", "target", "class_name")
_SPLIT = ("split", "subset", "set")
_FEW = 5


def list_table(path: Path) -> Listing:
    """List the photos of a table.

    Args:
        path: a ``.csv`` or ``.parquet`` file. Paths in it are absolute, or relative to the folder that it lies in.
            A column for the split may be there; a row may leave it empty. A table with all columns of a manifest is
            taken as one: rows that have a problem were left out on purpose, and the others were looked at before.

    Raises:
        DataError: it cannot be read, or something is wrong in it; all faults at once.
    """
    table = read_rows(path)
    prepared = set(SCHEMA) <= set(table.columns)
    columns = _columns(path, table.columns)
    table = table.rename({old: new for new, old in columns.items() if old != new})
    if "split" not in columns:
        table = table.with_columns(split=pl.lit(None, pl.String))
    # Nothing says more about a missing side than an empty cell does.
    table = table.with_columns(pl.col("path", "label", "split").replace("", None))
    sides = pl.col("split").str.strip_chars().str.to_lowercase()
    faults = _faults(table, sides)
    table = table.with_columns(sides.replace_strict(SPLIT_NAMES, default=None, return_dtype=pl.String))
    left_out = 0
    if prepared:
        kept = table.filter(pl.col("problem").is_null())
        left_out, table = table.height - kept.height, kept
    classes = tuple(sorted(table["label"].drop_nulls().unique(), key=natural))
    if not table.height:
        faults.append("it has no rows" + (" without a problem" if left_out else ""))
    elif len(classes) < 2:
        faults.append("it has a single class; a classifier needs two or more")
    elif table["split"].null_count() < table.height and table["split"].null_count() == 0:
        trained = set(table.filter(pl.col("split") == SPLITS[0])["label"])
        if missing := [name for name in classes if name not in trained]:
            faults.append(f"no training photo of {quoted(missing)}")
    if faults:
        raise DataError(f"data.root: {str(path)!r}: {'; '.join(faults)}")
    notes = (f"{left_out} photos were left out when {path.name} was prepared",) if left_out else ()
    listed = table.select("path", "label", "split", pl.lit(None, pl.String).alias("problem"))
    return Listing(path.parent, classes, listed, notes, prepared=table.select(list(SCHEMA)) if prepared else None)


def read_rows(path: Path) -> pl.DataFrame:
    """The rows of a table; every column that we know is text, but for a manifest's sizes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        table = read_frame(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: not a readable table ({' '.join(str(error).split())[:200]})") from error
    wanted = {name: SCHEMA.get(name, pl.String()) for name in table.columns if name.strip().lower() in _KNOWN}
    try:
        return table.with_columns(pl.col(name).cast(kind) for name, kind in wanted.items())
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: {' '.join(str(error).split())[:200]}") from error


_KNOWN = frozenset({*_PATH, *_LABEL, *_SPLIT, *SCHEMA})


def _columns(path: Path, names: list[str]) -> dict[str, str]:
    """Which column is which: our name to the table's.

    Raises:
        DataError: a needed column is missing, or two could be meant.
    """
    found, faults = {}, []
    for ours, theirs in (("path", _PATH), ("label", _LABEL), ("split", _SPLIT)):
        matches = [name for name in names if name.strip().lower() in theirs]
        # Our own name settles it where several could be meant.
        matches = [ours] if ours in matches else matches
        if len(matches) > 1:
            faults.append(f"{', '.join(map(repr, matches))} could each be the {ours}; name one of them {ours!r}")
        elif matches:
            found[ours] = matches[0]
        elif ours != "split":
            faults.append(f"it has no column {ours!r}")
    if faults:
        raise DataError(f"data.root: {str(path)!r}: {'; '.join(faults)} (its columns are {', '.join(names)})")
    return found


def _faults(table: pl.DataFrame, sides: pl.Expr) -> list[str]:
    """What is wrong with the rows. A row's number is its place below the heading, from 1."""
    numbered = table.with_row_index("row", offset=1)
    faults = []
    for column in ("path", "label"):
        empty = numbered.filter(pl.col(column).is_null())["row"].to_list()
        if empty:
            faults.append(f"no {column} in {_rows(empty)}")
    unknown = numbered.filter(pl.col("split").is_not_null() & ~sides.is_in(list(SPLIT_NAMES)))
    if unknown.height:
        found = ", ".join(map(repr, unknown["split"].unique(maintain_order=True).to_list()[:_FEW]))
        faults.append(f"split is {found} in {_rows(unknown['row'].to_list())}; it can be {', '.join(SPLITS)} or empty")
    twice = numbered.filter(pl.col("path").is_not_null() & pl.col("path").is_duplicated())
    if twice.height:
        some = ", ".join(map(repr, twice["path"].unique(maintain_order=True).to_list()[:_FEW]))
        faults.append(f"the same path stands in several rows: {some} in {_rows(twice['row'].to_list())}; keep one")
    return faults


def _rows(rows: list[int]) -> str:
    more = f" and {len(rows) - _FEW} more" if len(rows) > _FEW else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows[:_FEW]))}{more}"
