from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_ft.data.dealing import deal
from vision_ft.data.listing import SPLITS
from vision_ft.data.manifest import SCHEMA, Manifest
from vision_ft.data.split import Split
from vision_ft.errors import ConfigError, DataError


def manifest_of(
    counts: dict[str, int], group_size: int = 1, splits: dict[str, str] | None = None, broken: int = 0
) -> Manifest:
    rows = [
        {
            "path": f"{name}/{index}.jpg",
            "label": name,
            "split": None if splits is None else splits[f"{name}/{index}.jpg"],
            "group": f"{name}-{index // group_size}",
            "sha256": f"{name}{index}",
            "problem": "broken" if index < broken else None,
        }
        for name, count in counts.items()
        for index in range(count)
    ]
    return Manifest(Path(), tuple(counts), pl.DataFrame(rows, schema=SCHEMA))


counts_of_classes = st.dictionaries(st.sampled_from("abcde"), st.integers(10, 60), min_size=2)


@given(counts_of_classes, st.integers(0, 2**31))
def test_every_photo_on_one_side_and_every_class_in_its_shares(counts: dict[str, int], seed: int) -> None:
    split = Split(0.6, 0.2, 0.2, seed)
    dealt = deal(manifest_of(counts), split)
    assert dealt.table["split"].null_count() == 0
    for name, count in counts.items():
        sides = Counter(dealt.table.filter(pl.col("label") == name)["split"])
        for side, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
            assert abs(sides[side] - share * count) < 1


@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(30, 60), min_size=2), st.integers(2, 6), st.integers(0, 2**31)
)
def test_a_group_is_never_cut(counts: dict[str, int], group_size: int, seed: int) -> None:
    dealt = deal(manifest_of(counts, group_size), Split(seed=seed))
    assert dealt.table.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1


@given(counts_of_classes, st.integers(0, 2**31))
def test_the_same_seed_deals_the_same(counts: dict[str, int], seed: int) -> None:
    first, second = (deal(manifest_of(counts), Split(seed=seed)).table for _ in range(2))
    assert first.equals(second)


def test_another_seed_deals_otherwise() -> None:
    first, second = (deal(manifest_of({"a": 50, "b": 50}), Split(seed=seed)).table for seed in (0, 1))
    assert not first.equals(second)


def test_a_new_class_leaves_the_others_where_they_were() -> None:
    before = deal(manifest_of({"a": 30, "c": 30}), Split()).table
    after = deal(manifest_of({"a": 30, "b": 30, "c": 30}), Split()).table.filter(pl.col("label") != "b")
    assert before.equals(after)


def test_unreadable_photos_are_on_no_side() -> None:
    dealt = deal(manifest_of({"a": 20, "b": 20}, broken=5), Split())
    assert dealt.unreadable["split"].null_count() == 10
    assert sum(dealt.counts().values()) == 30


def test_given_sides_are_kept() -> None:
    counts = {"a": 20, "b": 20}
    splits = {f"{name}/{index}.jpg": SPLITS[index % 3] for name in counts for index in range(20)}
    dealt = deal(manifest_of(counts, splits=splits), Split())
    assert dealt.table["split"].to_list() == [splits[path] for path in dealt.table["path"]]


def test_validation_is_dealt_from_training_where_there_is_none() -> None:
    counts = {"a": 34, "b": 34}
    splits = {f"{name}/{index}.jpg": "test" if index < 10 else "train" for name in counts for index in range(34)}
    dealt = deal(manifest_of(counts, splits=splits), Split(0.7, 0.2, 0.1))
    assert dealt.counts() == {"train": 38, "val": 10, "test": 20}
    assert {path for path, side in splits.items() if side == "test"} == set(dealt.part("test")["path"])


def test_a_test_part_is_not_made_up_where_the_folder_gives_the_others() -> None:
    counts = {"a": 10, "b": 10}
    splits = {f"{name}/{index}.jpg": "val" if index < 3 else "train" for name in counts for index in range(10)}
    assert deal(manifest_of(counts, splits=splits), Split()).counts()["test"] == 0


def random_manifest(draw: st.DrawFn) -> Manifest:
    """Classes of several sizes, groups of several sizes, some of them over two classes."""
    sizes = draw(st.lists(st.integers(20, 50), min_size=2, max_size=4))
    labels = [f"c{number}" for number, size in enumerate(sizes) for _ in range(size)]
    # A random order cut into pieces of one to four: groups that lie anywhere, some of them in two classes.
    rows = np.random.default_rng(draw(st.integers(0, 2**32))).permutation(len(labels))
    groups = [""] * len(labels)
    most = draw(st.integers(1, 4))
    for place, row in enumerate(rows):
        groups[row] = str(place // most) if place % 3 else f"alone {place}"
    table = [
        {"path": f"{row}.jpg", "label": label, "split": None, "group": group, "sha256": str(row), "problem": None}
        for row, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]
    return Manifest(Path(), tuple(f"c{number}" for number in range(len(sizes))), pl.DataFrame(table, schema=SCHEMA))


random_manifests = st.composite(random_manifest)()


@given(random_manifests, st.integers(0, 99), st.sampled_from([Split(), Split(0.5, 0.3, 0.2), Split(0.8, 0.2, 0.0)]))
def test_disjoint_complete_and_whole_for_any_groups(manifest: Manifest, seed: int, split: Split) -> None:
    dealt = deal(manifest, dataclasses.replace(split, seed=seed))
    assert dealt.table["split"].null_count() == 0
    assert sum(dealt.counts().values()) == manifest.table.height
    assert dealt.table.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    classes_of = manifest.table.group_by("group").agg(pl.col("label").n_unique().alias("classes"), pl.len())
    largest = int(str(classes_of["len"].max()))
    for name in manifest.classes:
        of_class = dealt.table.filter(pl.col("label") == name).join(classes_of, on="group")
        # Groups over several classes are counted with the first of these.
        astray = of_class.filter(pl.col("classes") > 1).height
        for side, share in zip(SPLITS, (split.train, split.val, split.test), strict=True):
            assert abs((of_class["split"] == side).sum() - share * of_class.height) < largest + 2 * astray


@given(counts_of_classes, st.integers(0, 2**31), st.randoms())
def test_neither_names_nor_order_matter(counts: dict[str, int], seed: int, random: Any) -> None:
    manifest = manifest_of(counts)
    rows = list(range(manifest.table.height))
    random.shuffle(rows)
    moved = dataclasses.replace(manifest, table=manifest.table[rows].with_columns(path="x" + pl.col("path")))
    one = dict(deal(manifest, Split(seed=seed)).table.select("sha256", "split").iter_rows())
    assert dict(deal(moved, Split(seed=seed)).table.select("sha256", "split").iter_rows()) == one


@given(counts_of_classes, counts_of_classes, st.integers(0, 2**31), st.integers(0, 2**31))
def test_new_photos_leave_the_old_ones_where_they_were(
    before: dict[str, int], more: dict[str, int], seed: int, other: int
) -> None:
    old = deal(manifest_of(before), Split(seed=seed))
    kept = dict(old.table.select("path", "split").iter_rows())
    grown = {name: before.get(name, 0) + more.get(name, 0) for name in {**before, **more}}
    dealt = deal(manifest_of(grown), Split(seed=other), kept)
    now = dict(dealt.table.select("path", "split").iter_rows())
    assert {path: now[path] for path in kept} == kept
    assert dealt.table["split"].null_count() == 0
    for name, count in grown.items():
        sides = Counter(dealt.table.filter(pl.col("label") == name)["split"])
        for side, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
            assert abs(sides[side] - share * count) < 1.5


def test_a_new_copy_of_a_photo_joins_its_side() -> None:
    manifest = manifest_of({"a": 40, "b": 40}, group_size=2)
    kept = {f"a/{index}.jpg": "test" for index in range(0, 20, 2)}
    dealt = dict(deal(manifest, Split(), kept).table.select("path", "split").iter_rows())
    assert all(dealt[f"a/{index}.jpg"] == "test" for index in range(1, 20, 2))


def test_a_given_side_comes_before_an_earlier_one() -> None:
    counts = {"a": 20, "b": 20}
    splits = {f"{name}/{index}.jpg": SPLITS[index % 3] for name in counts for index in range(20)}
    dealt = deal(manifest_of(counts, splits=splits), Split(), dict.fromkeys(splits, "test"))
    assert dealt.table["split"].to_list() == [splits[path] for path in dealt.table["path"]]


def test_validation_that_was_dealt_from_training_stays() -> None:
    counts = {"a": 34, "b": 34}
    splits = {f"{name}/{index}.jpg": "test" if index < 10 else "train" for name in counts for index in range(34)}
    first = deal(manifest_of(counts, splits=splits), Split())
    kept = dict(first.table.select("path", "split").iter_rows())
    again = deal(manifest_of(counts, splits=splits), Split(seed=9), kept)
    assert again.table.equals(first.table)


def test_groups_over_two_classes_leave_the_shares_as_they_are() -> None:
    rows = [
        {
            "path": f"{row}",
            "label": "ab"[row % 2],
            "split": None,
            "group": str(row // 2),
            "sha256": str(row),
            "problem": None,
        }
        for row in range(400)
    ]
    dealt = deal(Manifest(Path(), ("a", "b"), pl.DataFrame(rows, schema=SCHEMA)), Split())
    assert dealt.counts() == {"train": 280, "val": 60, "test": 60}


def test_many_small_classes_leave_no_part_empty() -> None:
    counts = deal(manifest_of({f"c{number}": 3 for number in range(40)}), Split()).counts()
    assert counts["train"] == 80
    assert min(counts["val"], counts["test"]) >= 10


def test_fixed_numbers_a_class() -> None:
    dealt = deal(manifest_of({"a": 50, "b": 90}), Split(val_per_class=10, test_per_class=5))
    sides = Counter(dealt.table.select("label", "split").iter_rows())
    assert sides == {
        ("a", "train"): 35, ("a", "val"): 10, ("a", "test"): 5, ("b", "train"): 75, ("b", "val"): 10, ("b", "test"): 5
    }  # fmt: skip


def test_a_few_shots_leave_the_rest_unused() -> None:
    dealt = deal(manifest_of({"a": 50, "b": 90}), Split(train_per_class=4, val_per_class=10, test_per_class=10))
    assert dealt.counts() == {"train": 8, "val": 20, "test": 20}
    assert dealt.table["split"].null_count() == 140 - 48


def test_too_few_photos_for_fixed_numbers() -> None:
    with pytest.raises(DataError, match="class 'a' has 20 photos, too few for val_per_class 10, test_per_class 10"):
        deal(manifest_of({"a": 20, "b": 90}), Split(val_per_class=10, test_per_class=10))


def test_fixed_numbers_where_validation_is_dealt_from_training() -> None:
    counts = {"a": 34, "b": 34}
    splits = {f"{name}/{index}.jpg": "test" if index < 10 else "train" for name in counts for index in range(34)}
    dealt = deal(manifest_of(counts, splits=splits), Split(val_per_class=3))
    assert dealt.counts() == {"train": 42, "val": 6, "test": 20}


@given(counts_of_classes, st.integers(2, 6), st.integers(0, 2**31))
def test_every_photo_is_for_validation_in_one_fold(counts: dict[str, int], folds: int, seed: int) -> None:
    manifest = manifest_of(counts)
    sides = [deal(manifest, Split(seed=seed, folds=folds, fold=fold)).table["split"].to_list() for fold in range(folds)]
    for one, *others in zip(*sides, strict=True):
        of_photo = [one, *others]
        assert of_photo == ["test"] * folds or sorted(of_photo) == ["train"] * (folds - 1) + ["val"]
    for name, count in counts.items():
        rows = [row for row, label in enumerate(manifest.table["label"]) if label == name]
        for side in sides:
            assert abs(sum(side[row] == "val" for row in rows) - 0.85 * count / folds) < 1


def test_folds_where_the_folder_says_what_validation_is() -> None:
    counts = {"a": 10, "b": 10}
    splits = {f"{name}/{index}.jpg": "val" if index < 3 else "train" for name in counts for index in range(10)}
    with pytest.raises(ConfigError, match=r"data.split.folds: .* leave folds out"):
        deal(manifest_of(counts, splits=splits), Split(folds=3))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"folds": 1}, "folds is 1, must be 2 or more"),
        ({"fold": 1}, "fold is 1 without data.split.folds"),
        ({"folds": 3, "fold": 3}, "fold is 3 of 3 folds, must be from 0 to 2"),
        ({"folds": 3, "val_per_class": 5}, "goes with neither train_per_class nor val_per_class"),
        ({"val_per_class": 0}, "val_per_class is 0, must be 1 or more"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_make_no_split(settings: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Split(**settings)  # type: ignore[arg-type]


def test_too_few_photos_for_validation() -> None:
    with pytest.raises(DataError, match="leave none for validation"):
        deal(manifest_of({"a": 2, "b": 2}), Split())


@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (0.9, 0.2, -0.1), (0.0, 0.5, 0.5)])
def test_shares_that_make_no_split(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="must add up to 1"):
        Split(*shares)


def test_a_photo_like_one_of_the_test_is_never_learnt_from() -> None:
    manifest = manifest_of({"a": 40, "b": 40}, group_size=4)
    # Of one group, the first was dealt to the test and the second to training, by a layout that says so.
    kept = {"a/0.jpg": "test", "a/1.jpg": "train"}
    dealt = dict(deal(manifest, Split(), kept).table.select("path", "split").iter_rows())
    assert (dealt["a/2.jpg"], dealt["a/3.jpg"]) == ("test", "test")


def test_a_large_group_leaves_the_shares_as_they_are() -> None:
    rows = [
        {"path": f"{name}{row}", "label": name, "group": f"{name} large" if row < 12 else f"{name}{row}", "sha256": "x"}
        for name in "ab"
        for row in range(40)
    ]
    dealt = deal(Manifest(Path(), ("a", "b"), pl.DataFrame(rows, schema=SCHEMA)), Split())
    assert dealt.counts() == {"train": 56, "val": 12, "test": 12}


@given(random_manifests, st.randoms())
def test_the_order_of_files_does_not_matter_to_groups_over_classes(manifest: Manifest, random: Any) -> None:
    rows = list(range(manifest.table.height))
    random.shuffle(rows)
    moved = dataclasses.replace(manifest, table=manifest.table[rows])
    one, other = (dict(deal(each, Split()).table.select("path", "split").iter_rows()) for each in (manifest, moved))
    assert one == other
