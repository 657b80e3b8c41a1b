"""The manifest: one row a photo, with everything that later steps need to know of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from vision_ft.data.listing import SPLITS
from vision_ft.errors import DataError
from vision_ft.files import shown

SCHEMA = {
    "path": pl.String,  # below the root
    "label": pl.String,
    "split": pl.String,  # train, val, test; null before the split and for photos on no side
    "group": pl.String,  # the same photo, or nearly: never cut in two by a split
    "sha256": pl.String,
    "width": pl.Int64,
    "height": pl.Int64,
    "problem": pl.String,  # why the photo cannot be read, or was left out; null for a good one
}
_MOST_LISTED = 100


@dataclass(frozen=True)
class Manifest:
    """A table of photos with the folder it speaks of.

    Attributes:
        root: what ``path`` is relative to.
        classes: in natural order; a label's number is its place here.
        table: columns as in :data:`SCHEMA`.
    """

    root: Path
    classes: tuple[str, ...]
    table: pl.DataFrame

    @property
    def unreadable(self) -> pl.DataFrame:
        """The rows that have a problem."""
        return self.table.filter(pl.col("problem").is_not_null())

    def part(self, split: str) -> pl.DataFrame:
        """The readable rows of one split."""
        return self.table.filter((pl.col("split") == split) & pl.col("problem").is_null())

    @property
    def readable(self) -> pl.DataFrame:
        """The rows that have no problem."""
        return self.table.filter(pl.col("problem").is_null())

    def paths(self, rows: pl.DataFrame) -> list[Path]:
        """Where the photos of some rows lie."""
        return [self.root / path for path in rows["path"]]

    def labels(self, rows: pl.DataFrame) -> list[int]:
        """The class numbers of some rows."""
        number = {name: index for index, name in enumerate(self.classes)}
        return [number[label] for label in rows["label"]]

    def with_splits(self, splits: Sequence[str | None]) -> Manifest:
        """The same photos, each on the side that is given for it."""
        return replace(self, table=self.table.with_columns(pl.Series("split", splits, dtype=pl.String)))

    def counts(self) -> dict[str, int]:
        """The number of readable photos of each split."""
        return {split: self.part(split).height for split in SPLITS}

    def fingerprint(self) -> str:
        """SHA-256 over what is learnt from: each readable photo's content, label and split, in the order of paths."""
        digest = hashlib.sha256()
        rows = self.readable.sort("path")
        for sha256, label, split in rows.select("sha256", "label", "split").iter_rows():
            digest.update(f"{sha256}\0{label}\0{split}\n".encode())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write the table: as Parquet where the name ends in ``.parquet``, as CSV elsewhere."""
        # Through memory: what goes wrong on the disk then has its usual name.
        buffer = io.BytesIO()
        if path.suffix.lower() == ".parquet":
            self.table.write_parquet(buffer)
        else:
            self.table.write_csv(buffer)
        path.write_bytes(buffer.getvalue())

    @classmethod
    def read(cls, path: Path, root: Path, classes: Sequence[str]) -> Manifest:
        """Read a table that :meth:`write` wrote.

        Raises:
            DataError: the file is missing or is not such a table.
        """
        try:
            table = read_frame(path)
            if lacking := [name for name in SCHEMA if name not in table.columns]:
                raise DataError(f"{path}: not a manifest: it lacks the columns {', '.join(lacking)}; move it away")
            table = table.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path}: not a readable manifest ({' '.join(str(error).split())[:200]})") from error
        if wrong := [side for side in table["split"].drop_nulls().unique() if side not in SPLITS]:
            raise DataError(
                f"{path}: split is {', '.join(map(repr, sorted(wrong)))}, can be {', '.join(SPLITS)} or empty; mend it"
            )
        return cls(root=root, classes=tuple(classes), table=table)


def read_frame(path: Path) -> pl.DataFrame:
    """A table as it stands in a ``.parquet`` file, or, all of it text, in a CSV one.

    Raises:
        OSError: it cannot be opened.
        polars.exceptions.PolarsError: it is no such table.
    """
    # Not as a pattern, for a folder may have brackets in its name; and not guessed, for "01" is a class.
    if path.suffix.lower() == ".parquet":
        return pl.read_parquet(path, glob=False)
    return pl.read_csv(path, infer_schema=False, glob=False)


def check_readable(manifest: Manifest, max_unreadable: float) -> None:
    """Refuse data too much of which is broken.

    Args:
        manifest: as :func:`scan` gives it.
        max_unreadable: the largest share of photos that may be unreadable, in [0, 1].

    Raises:
        DataError: more photos are unreadable, or a class has no readable photo; they are listed.
    """
    broken, photos = manifest.unreadable, manifest.table.height
    good = set(manifest.readable["label"])
    faults = [f"class {name!r} has no readable photo" for name in manifest.classes if name not in good]
    if broken.height > max_unreadable * photos:
        faults.append(
            f"{broken.height} of {photos} photos cannot be read, "
            f"more than data.max_unreadable = {max_unreadable:g} allows"
        )
    if faults:
        raise DataError(
            f"data.root: {'; '.join(faults)} in {str(manifest.root)!r}; mend or remove these, or let "
            "vision-ft data prepare leave them out:\n" + "\n".join(describe_unreadable(manifest))
        )


def describe_unreadable(manifest: Manifest) -> list[str]:
    """A line for each unreadable photo, with its reason; a long list is cut and says so."""
    rows = manifest.unreadable.select("path", "problem")
    lines = [f"  {shown(path)}: {problem}" for path, problem in rows.head(_MOST_LISTED).iter_rows()]
    if rows.height > _MOST_LISTED:
        lines.append(f"  … and {rows.height - _MOST_LISTED} more")
    return lines
