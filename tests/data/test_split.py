from __future__ import annotations

from collections import Counter
from pathlib import Path

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


def test_too_few_photos_for_validation() -> None:
    with pytest.raises(DataError, match="leave none for validation"):
        deal(manifest_of({"a": 2, "b": 2}), Split())


@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (0.9, 0.2, -0.1), (0.0, 0.5, 0.5)])
def test_shares_that_make_no_split(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="must add up to 1"):
        Split(*shares)
