"""What a layout is turned into: photos with labels, and the names of the sides of a split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)
# Which copy is kept where two sides have one: what is measured on must not change.
RANK = {TEST: 0, VAL: 1, TRAIN: 2, None: 3}
# What people call them, in any case of letters.
SPLIT_NAMES = {"train": TRAIN, "training": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}


class Listed(NamedTuple):
    """A photo that was found.

    Attributes:
        path: below the root, with ``/``.
        label: the class's name.
        split: one of :data:`SPLITS`, or ``None`` where nothing says.
    """

    path: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Listing:
    """All photos of a folder or a table.

    Attributes:
        root: what paths are relative to.
        classes: in natural order, the same for every split.
        table: columns path, label, split and problem; the problem is of the name alone, as no photo was opened yet.
        notes: what a person should be told of how it was read.
        prepared: the whole manifest where one was listed, whose photos have been looked at before.
    """

    root: Path
    classes: tuple[str, ...]
    table: pl.DataFrame
    notes: tuple[str, ...] = ()
    prepared: pl.DataFrame | None = None

    @classmethod
    def of(cls, root: Path, classes: tuple[str, ...], photos: Iterable[Listed], notes: tuple[str, ...] = ()) -> Listing:
        """A listing of what was found in a folder; a name that is not UTF-8 becomes its photo's problem."""
        rows = [(as_text(path), label, split, _name_problem(path)) for path, label, split in photos]
        table = pl.DataFrame(rows, schema=dict.fromkeys(("path", "label", "split", "problem"), pl.String), orient="row")
        return cls(root, classes, table, notes)


def natural(name: str) -> tuple[list[str | int], str]:
    """A sort key that puts ``2`` before ``10``; the name itself settles ties.

    Text and numbers alternate in the list, so two keys always compare like with like.
    """
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def as_text(path: str) -> str:
    """A path that any table can hold: bytes that are no UTF-8 are written out."""
    return path.encode("utf-8", "backslashreplace").decode()


def quoted(names: list[str]) -> str:
    """Names of classes in a sentence."""
    return f"{'class' if len(names) == 1 else 'classes'} {', '.join(map(repr, names))}"


def _name_problem(path: str) -> str | None:
    return None if as_text(path) == path else "the file name is not valid UTF-8; rename it"
