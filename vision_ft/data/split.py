"""Dealing photos out to training, validation and test."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from vision_ft.data.layout import SPLITS, TEST, TRAIN, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.errors import ConfigError, DataError


@dataclass(frozen=True)
class Split:
    """How photos are dealt out where the folder does not say.

    Attributes:
        train: share to learn from.
        val: share that every choice is made on.
        test: share that no choice is made on; 0 for none.
        seed: which photos go where. Apart from the training's own seed, so that runs can be compared.
    """

    train: float = 0.70
    val: float = 0.15
    test: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse shares that make no split."""
        shares = (self.train, self.val, self.test)
        if self.seed < 0:
            raise ConfigError(f"data.split.seed is {self.seed}, must be 0 or more")
        if not (min(self.train, self.val) > 0 and self.test >= 0 and abs(sum(shares) - 1) <= 1e-6):
            raise ConfigError(
                f"data.split: train {self.train:g}, val {self.val:g}, test {self.test:g} must add up to 1, "
                "with train and val above 0"
            )


def deal(manifest: Manifest, split: Split) -> Manifest:
    """Give every readable photo a side.

    Stratified: each class is dealt out by itself, so every part has the shares asked for within one photo a class,
    as far as whole groups allow. Sides that the folder gives are kept; where it has ``train`` but no ``val``,
    validation is dealt from ``train``, and a missing ``test`` stays missing.

    Args:
        manifest: as :func:`~vision_ft.data.manifest.scan` gives it.
        split: shares and seed.

    Returns:
        The manifest with splits; unreadable photos are on no side.

    Raises:
        DataError: a part that must have photos would have none.
    """
    table = manifest.table
    given = table["split"].to_list()
    sides: list[str | None] = list(given)
    readable = table["problem"].is_null().to_list()
    has_given = any(side is not None for side in given)
    if not has_given:
        shares = {TRAIN: split.train, VAL: split.val, TEST: split.test}
        pool = [row for row, good in enumerate(readable) if good]
    elif VAL not in given:
        whole = split.train + split.val
        shares = {TRAIN: split.train / whole, VAL: split.val / whole}
        pool = [row for row, good in enumerate(readable) if good and given[row] == TRAIN]
    else:
        shares, pool = {}, []
    labels, groups = table["label"].to_list(), table["group"].to_list()
    for rows_of_class in _by_class(pool, labels, groups).values():
        _deal_class(rows_of_class, shares, split.seed, sides, labels)
    for row, good in enumerate(readable):
        if not good:
            sides[row] = None
    dealt = manifest.with_splits(sides)
    _check_parts(dealt)
    return dealt


def _by_class(pool: list[int], labels: list[str], groups: list[str]) -> dict[str, list[list[int]]]:
    """The groups of rows of each class; a group of several classes goes with its first photo's."""
    members: dict[str, list[int]] = defaultdict(list)
    for row in pool:
        members[groups[row]].append(row)
    by_class: dict[str, list[list[int]]] = defaultdict(list)
    for rows in members.values():
        by_class[labels[rows[0]]].append(rows)
    return by_class


def _deal_class(
    groups: list[list[int]], shares: dict[str, float], seed: int, sides: list[str | None], labels: list[str]
) -> None:
    # Seeded by the class's name and not by its number, so that a new class leaves the others where they were.
    label = labels[groups[0][0]]
    order = np.random.default_rng([seed, zlib.crc32(label.encode())]).permutation(len(groups))
    shuffled = sorted((groups[index] for index in order), key=len, reverse=True)
    missing = {side: share * sum(map(len, groups)) for side, share in shares.items()}
    for rows in shuffled:
        side = max(missing, key=missing.__getitem__)
        missing[side] -= len(rows)
        for row in rows:
            sides[row] = side


def _check_parts(manifest: Manifest) -> None:
    counts = manifest.counts()
    trained = set(manifest.part(TRAIN)["label"])
    if missing := [name for name in manifest.classes if name not in trained]:
        raise DataError(
            f"data.root: no readable training photo for {', '.join(map(repr, missing))} in {str(manifest.root)!r}; "
            "add photos of it"
        )
    if not counts[VAL]:
        raise DataError(
            f"data.root: {sum(counts.values())} photos in {str(manifest.root)!r} leave none for validation; "
            "add photos, or raise data.split.val"
        )


def describe(manifest: Manifest) -> str:
    """One line: how many photos and classes, and how many on each side."""
    counts = manifest.counts()
    parts = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    names = ", ".join(manifest.classes[:6]) + (", …" if len(manifest.classes) > 6 else "")
    return f"{sum(counts.values())} photos of {len(manifest.classes)} classes ({names}): {parts}"
