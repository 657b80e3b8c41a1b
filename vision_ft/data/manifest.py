"""The manifest: one row a photo, with everything that later steps need to know of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import track

from vision_ft.data.layout import SPLITS, Listing
from vision_ft.errors import DataError, UnreadablePhoto
from vision_ft.imaging import decode

SCHEMA = {
    "path": pl.String,  # below the root
    "label": pl.String,
    "split": pl.String,  # train, val, test; null before the split and for unreadable photos
    "group": pl.String,  # photos of one group are never cut in two by a split
    "sha256": pl.String,
    "width": pl.Int64,
    "height": pl.Int64,
    "problem": pl.String,  # why the photo cannot be read; null for a good one
}
_MOST_LISTED = 100
_CHUNK = 32


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
        rows = self.table.filter(pl.col("problem").is_null()).sort("path")
        for sha256, label, split in rows.select("sha256", "label", "split").iter_rows():
            digest.update(f"{sha256}\0{label}\0{split}\n".encode())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write the table as CSV."""
        self.table.write_csv(path)

    @classmethod
    def read(cls, path: Path, root: Path, classes: Sequence[str]) -> Manifest:
        """Read a table that :meth:`write` wrote.

        Raises:
            DataError: the file is missing or is not such a table.
        """
        try:
            # Not as a pattern: a folder may have brackets in its name.
            table = pl.read_csv(path, schema=SCHEMA, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path}: not a readable manifest ({' '.join(str(error).split())[:200]})") from error
        return cls(root=root, classes=tuple(classes), table=table)


def scan(listing: Listing) -> Manifest:
    """Read and decode every photo of a listing once.

    Every file is decoded to its last row: a header says nothing of what follows it.

    Returns:
        A manifest without splits, in which unreadable photos have their problem written down.
    """
    paths = [photo.path for photo in listing.photos]
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    # Decoding and hashing leave the interpreter's lock, so threads are enough and start at once.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = pool.map(lambda chunk: [_look_at(listing.root / path) for path in chunk], chunks)
        looked = [row for rows in _shown(results, total=len(chunks)) for row in rows]
    sha256, width, height, problem = zip(*looked, strict=True)
    table = pl.DataFrame(
        {
            "path": [_as_text(path) for path in paths],
            "label": [photo.label for photo in listing.photos],
            "split": [photo.split for photo in listing.photos],
            # Photos with the same bytes are one photo to a split.
            "group": list(sha256),
            "sha256": list(sha256),
            "width": list(width),
            "height": list(height),
            "problem": list(problem),
        },
        schema=SCHEMA,
    )
    return Manifest(root=listing.root, classes=listing.classes, table=table)


def check_readable(manifest: Manifest, max_unreadable: float) -> None:
    """Refuse data too much of which is broken.

    Args:
        manifest: as :func:`scan` gives it.
        max_unreadable: the largest share of photos that may be unreadable, in [0, 1].

    Raises:
        DataError: more photos are unreadable, or a class has no readable photo; they are listed.
    """
    broken, photos = manifest.unreadable, manifest.table.height
    good = set(manifest.table.filter(pl.col("problem").is_null())["label"])
    faults = [f"class {name!r} has no readable photo" for name in manifest.classes if name not in good]
    if broken.height > max_unreadable * photos:
        faults.append(
            f"{broken.height} of {photos} photos cannot be read, "
            f"more than data.max_unreadable = {max_unreadable:g} allows"
        )
    if faults:
        raise DataError(
            f"data.root: {'; '.join(faults)} in {str(manifest.root)!r}; mend or remove these:\n"
            + "\n".join(describe_unreadable(manifest))
        )


def describe_unreadable(manifest: Manifest) -> list[str]:
    """A line for each unreadable photo, with its reason; a long list is cut and says so."""
    rows = manifest.unreadable.select("path", "problem")
    lines = [f"  {_one_line(path)}: {problem}" for path, problem in rows.head(_MOST_LISTED).iter_rows()]
    if rows.height > _MOST_LISTED:
        lines.append(f"  … and {rows.height - _MOST_LISTED} more")
    return lines


def _look_at(path: Path) -> tuple[str | None, int | None, int | None, str | None]:
    """SHA-256, width, height and problem of one photo."""
    if _as_text(str(path)) != str(path):
        return None, None, None, "the file name is not valid UTF-8; rename it"
    try:
        data = path.read_bytes()
    except OSError as error:
        return None, None, None, error.strerror or str(error)
    digest = hashlib.sha256(data).hexdigest()
    try:
        width, height = decode(data).size
    except UnreadablePhoto as error:
        return digest, None, None, str(error)
    return digest, width, height, None


def _shown(
    results: Iterable[list[tuple[str | None, int | None, int | None, str | None]]], total: int
) -> Iterator[list[tuple[str | None, int | None, int | None, str | None]]]:
    console = Console(stderr=True)
    return iter(
        track(
            results,
            "reading photos",
            total=total,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
    )


def _as_text(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _one_line(path: str) -> str:
    return path if path.isprintable() else repr(path)
