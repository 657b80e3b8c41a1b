"""Dealing photos out to training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from vision_ft.data.listing import SPLITS, TEST, TRAIN, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.data.split import Split
from vision_ft.errors import ConfigError, DataError


def deal(manifest: Manifest, split: Split, kept: Mapping[str, str] | None = None) -> Manifest:
    """Give every readable photo a side.

    Stratified: each class is dealt out by itself, so every part has the shares asked for within one photo a class,
    as far as whole groups allow. Sides that the layout gives are kept, and only photos without one are dealt; where it
    gives ``train`` to all and ``val`` to none, validation is dealt from ``train``, and a missing ``test`` stays
    missing.

    Args:
        manifest: as :func:`~vision_ft.data.survey.survey` gives it.
        split: shares and seed.
        kept: the part of photos that were dealt before, by path; of no account where the layout gives another side.

    Returns:
        The manifest with splits; unreadable photos that had no side get none.

    Raises:
        DataError: a part that must have photos would have none, or a class has fewer than the fixed numbers ask for.
        ConfigError: folds are asked for where the layout says already what is for validation.
    """
    return next(deal_folds(manifest, [split], {} if kept is None else kept))


def deal_folds(manifest: Manifest, splits: Sequence[Split], kept: Mapping[str, str]) -> Iterator[Manifest]:
    """Deal once for splits that differ in their fold alone; as :func:`deal` does for each of them."""
    split = splits[0]
    readable = manifest.readable["split"]
    is_whole = bool(len(readable)) and readable.null_count() == 0
    given = set(manifest.table["split"].drop_nulls())
    if split.folds is not None and VAL in given:
        raise ConfigError(
            f"data.split.folds: {str(manifest.root)!r} says already which photos are for validation; leave folds out"
        )
    # Validation comes out of training, which gives up its sides for that; the test photos keep theirs.
    from_train = is_whole and VAL not in given
    before = [kept.get(path) for path in manifest.table["path"]]
    parts: list[str | None] = [
        (None if was == TEST else was) if side == TRAIN and from_train else side or was
        for side, was in zip(manifest.table["split"], before, strict=True)
    ]
    parts = deal_parts(manifest.with_splits(parts), split, without_test=from_train)
    for one in splits:
        dealt = manifest.with_splits([None if part is None else one.side_of(part) for part in parts])
        _check_parts(dealt)
        yield dealt


def deal_parts(manifest: Manifest, split: Split, *, without_test: bool = False) -> list[str | None]:
    """Give every readable photo that has none a part.

    A photo whose group has a part already joins it. The others are dealt by group, the largest first and those of one
    size in an order that hangs on the seed and their contents alone, each to the part that lacks most.

    Args:
        manifest: its split column holds parts, as :meth:`Split.parts` names them.
        split: shares and seed.
        without_test: deal no photo out for the test, and leave those that are there out of account.

    Returns:
        A part a row.
    """
    table = manifest.table.with_row_index("row")
    parts: list[str | None] = table["split"].to_list()
    good = table.filter(pl.col("problem").is_null())
    fixed, free = good.filter(pl.col("split").is_not_null()), good.filter(pl.col("split").is_null())
    if without_test:
        fixed = fixed.filter(pl.col("split") != TEST)
    # The test comes last and so prevails: a photo that is nearly one of the test's must not be learnt from.
    of_group = dict(fixed.sort(pl.col("split") == TEST).select("group", "split").iter_rows())
    taken = {(label, part): count for label, part, count in fixed.group_by("label", "split").len().iter_rows()}
    groups = free.group_by("group", maintain_order=True).agg(pl.col("label").min(), pl.col("row"))
    for (label,), of_class in groups.group_by("label", maintain_order=True):
        # Counted as they are dealt, for a group of several classes goes with the first of them.
        photos = int(of_class["row"].list.len().sum()) + sum(n for (name, _), n in taken.items() if name == label)
        targets = _targets(str(label), photos, split, without_test=without_test)
        missing = {
            part: targets[part] - taken.get((label, part), 0) for part in _precedence(targets, str(label), split)
        }
        for group, rows in _order(of_class, str(label), split.seed):
            part = of_group.get(group)
            if part is None:
                part = max(missing, key=missing.__getitem__)
            if part in missing:
                missing[part] -= len(rows)
            for row in rows:
                parts[row] = part
    return parts


def _order(groups: pl.DataFrame, label: str, seed: int) -> list[tuple[str, list[int]]]:
    def key(item: tuple[str, list[int]]) -> tuple[int, bytes]:
        group, rows = item
        # By content and not by place, so that neither other names nor another order of files deals otherwise; and with
        # the class's name and not its number, so that a new class leaves the others where they were.
        return -len(rows), hashlib.sha256(f"{seed}\0{label}\0{group}".encode()).digest()

    return sorted(groups.select("group", "row").iter_rows(), key=key)


def _precedence(targets: Mapping[str, float], label: str, split: Split) -> list[str]:
    """The parts in the order in which they are served where they lack as much.

    Where a class has no photo for each of them, chance says which one goes without: with many such classes, the same
    part would go without in all.
    """
    if min((count for count in targets.values() if count > 0), default=1) >= 1:
        return list(targets)
    return sorted(targets, key=lambda part: hashlib.sha256(f"{split.seed}\0{label}\0{part}".encode()).digest())


def _targets(label: str, photos: int, split: Split, *, without_test: bool) -> Mapping[str, float]:
    targets = split.parts(photos, without_test=without_test)
    if min(targets.values()) < 0 or targets.get(TRAIN, 1) <= 0:
        asked = ", ".join(
            f"{name} {count}"
            for name, count in (
                ("train_per_class", split.train_per_class),
                ("val_per_class", split.val_per_class),
                ("test_per_class", split.test_per_class),
            )
            if count is not None
        )
        raise DataError(f"data.split: class {label!r} has {photos} photos, too few for {asked}; ask for fewer")
    return targets


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
