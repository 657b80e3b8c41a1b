from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from vision_ft.data.dealing import deal
from vision_ft.data.layout import list_photos
from vision_ft.data.prepared import manifest_of
from vision_ft.data.split import Split
from vision_ft.errors import DataError

FolderOf = Callable[..., Path]


def table(file: Path, **columns: list[str | None]) -> Path:
    frame = pl.DataFrame(columns)
    if file.suffix == ".parquet":
        frame.write_parquet(file)
    else:
        frame.write_csv(file)
    return file


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        list_photos(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_paths_are_relative_to_the_table_or_absolute(folder_of: FolderOf, tmp_path: Path, suffix: str) -> None:
    root = folder_of({"x": 2})
    path = table(tmp_path / f"list{suffix}", path=["photos/x/0.png", str(root / "x/1.png")], label=["a", "b"])
    manifest = manifest_of(list_photos(path))
    assert manifest.unreadable.height == 0
    assert manifest.table["label"].to_list() == ["a", "b"]


def test_other_names_of_columns_and_columns_that_do_not_matter(folder_of: FolderOf, tmp_path: Path) -> None:
    folder_of({"x": 2})
    path = tmp_path / "train.csv"
    path.write_text("id,Image,note,Class,set\n7,photos/x/0.png,1,b,TRAIN\n8,photos/x/1.png,x,a,valid\n")
    # A side that is given for all photos must have all classes to train on.
    assert "no training photo of class 'a'" in refused(path)
    path.write_text("id,Image,note,Class,set\n7,photos/x/0.png,1,b,TRAIN\n8,photos/x/1.png,x,a,Train \n")
    assert list_photos(path).table.rows() == [
        ("photos/x/0.png", "b", "train", None),
        ("photos/x/1.png", "a", "train", None),
    ]


def test_labels_are_text_and_in_natural_order(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path,label\n1.jpg,10\n2.jpg,9\n3.jpg,01\n")
    assert list_photos(path).classes == ("01", "9", "10")


def test_numbers_of_a_parquet_table_are_labels_too(tmp_path: Path) -> None:
    pl.DataFrame({"path": ["a.jpg", "b.jpg"], "label": [3, 11]}).write_parquet(tmp_path / "list.parquet")
    assert list_photos(tmp_path / "list.parquet").classes == ("3", "11")


def test_strange_paths(folder_of: FolderOf, tmp_path: Path) -> None:
    root = folder_of({"x": 2})
    (root / "x/0.png").rename(root / "x/a, \"b\"\n'c' ü.png")
    path = table(tmp_path / "list.csv", path=["photos/x/a, \"b\"\n'c' ü.png", "photos/x/1.png"], label=["a", "b"])
    assert manifest_of(list_photos(path)).unreadable.height == 0


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"path": ["1.jpg"]}, ["no column 'label'", "its columns are path"]),
        ({"a": ["1.jpg"], "b": ["x"]}, ["no column 'path'", "no column 'label'"]),
        ({"file": ["1"], "image": ["2"], "label": ["x"]}, ["'file', 'image' could each be the path"]),
        ({"path": ["1", None, "2"], "label": ["a", "b", None]}, ["no path in row 2", "no label in row 3"]),
        ({"path": ["1", "2"], "label": ["a", "b"], "split": ["train", "trian"]}, ["split is 'trian' in row 2"]),
        (
            {"path": ["1", "1", "2"], "label": ["a", "b", "b"]},
            ["the same path stands in several rows: '1' in rows 1, 2"],
        ),
        ({"path": ["1", "2"], "label": ["a", "a"]}, ["a single class"]),
        ({"path": [], "label": []}, ["it has no rows"]),
    ],
)
def test_what_is_wrong_with_a_table_is_named(
    tmp_path: Path, columns: dict[str, list[str | None]], words: list[str]
) -> None:
    path = tmp_path / "list.parquet"
    pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).write_parquet(path)
    message = refused(path)
    for word in words:
        assert word in message


def test_what_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"no parquet")
    assert "not a readable table" in refused(tmp_path / "list.parquet")
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe.jpg,a\n")
    assert "not a readable table" in refused(tmp_path / "list.csv")
    (tmp_path / "list.txt").write_text("x")
    assert "is a file, and no table (.csv, .parquet)" in refused(tmp_path / "list.txt")


def test_photos_that_are_not_there_are_unreadable(folder_of: FolderOf, tmp_path: Path) -> None:
    folder_of({"x": 1})
    path = table(tmp_path / "list.csv", path=["photos/x/0.png", "photos/x/9.png"], label=["a", "b"])
    assert manifest_of(list_photos(path)).unreadable.rows()[0][-1] == "No such file or directory"


def test_rows_without_a_side_are_dealt_and_the_others_stay(folder_of: FolderOf, tmp_path: Path) -> None:
    folder_of({"x": 40})
    sides: list[str | None] = ["test"] * 6 + [None] * 34
    names = [f"photos/x/{index}.png" for index in range(40)]
    path = table(tmp_path / "list.csv", path=[*names], label=["a", "b"] * 20, split=sides)
    dealt = deal(manifest_of(list_photos(path)), Split())
    assert set(dealt.table["split"].to_list()[:6]) == {"test"}
    assert dealt.counts() == {"train": 28, "val": 6, "test": 6}


def test_a_folder_with_nothing_but_a_table_points_to_it(tmp_path: Path) -> None:
    table(tmp_path / "manifest.csv", path=["1.jpg"], label=["a"])
    assert f"did you mean '{tmp_path / 'manifest.csv'}'" in refused(tmp_path)
