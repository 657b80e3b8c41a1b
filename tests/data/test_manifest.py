from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vision_ft.data.layout import list_photos
from vision_ft.data.manifest import Manifest, check_readable, describe_unreadable
from vision_ft.data.survey import survey
from vision_ft.errors import DataError

FolderOf = Callable[..., Path]


def scanned(root: Path) -> Manifest:
    return survey(list_photos(root)).manifest


def test_a_row_a_photo(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 2, "dog": 1}, size=(40, 32))
    manifest = scanned(root)
    row = manifest.table.row(0, named=True)
    assert manifest.table.height == 3
    assert (row["path"], row["label"], row["width"], row["height"]) == ("cat/0.png", "cat", 40, 32)
    assert row["sha256"] == hashlib.sha256((root / "cat/0.png").read_bytes()).hexdigest()
    assert row["problem"] is None


def test_broken_photos_stay_in_the_table_with_their_reason(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 2, "dog": 2})
    good = (root / "cat/0.png").read_bytes()
    (root / "cat/half.png").write_bytes(good[: len(good) // 2])
    (root / "dog/empty.jpg").write_bytes(b"")
    manifest = scanned(root)
    problems = dict(manifest.unreadable.select("path", "problem").iter_rows())
    assert set(problems) == {"cat/half.png", "dog/empty.jpg"}
    assert problems["dog/empty.jpg"] == "the file is empty"
    assert manifest.table.height == 6


def test_a_file_name_that_is_not_utf8_is_named_as_unreadable(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 2, "dog": 2})
    (root / "cat/0.png").rename(root / "cat" / os.fsdecode(b"\xff.png"))
    problems = scanned(root).unreadable
    assert problems["path"].to_list() == ["cat/\\udcff.png"]
    assert "UTF-8" in problems["problem"][0]


def test_up_to_the_share_allowed_is_let_through(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 9, "dog": 10})
    (root / "cat/broken.jpg").write_bytes(b"x")
    manifest = scanned(root)
    check_readable(manifest, 0.05)
    with pytest.raises(DataError, match=r"1 of 20 photos") as caught:
        check_readable(manifest, 0.04)
    assert "cat/broken.jpg: not one of the formats" in str(caught.value)


def test_a_class_of_broken_photos_stops_the_run(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 30, "dog": 1})
    (root / "dog/0.png").write_bytes(b"x")
    with pytest.raises(DataError, match="class 'dog' has no readable photo"):
        check_readable(scanned(root), 0.5)


def test_a_long_list_is_cut_and_says_so(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 1, "dog": 1})
    for index in range(103):
        (root / "cat" / f"{index}.jpg").write_bytes(b"x")
    shown = describe_unreadable(scanned(root))
    assert len(shown) == 101
    assert shown[-1] == "  … and 3 more"


def test_what_is_written_is_read(folder_of: FolderOf, tmp_path: Path) -> None:
    root = folder_of({'a, "b"': 2, "new\nline": 1})
    manifest = scanned(root)
    manifest.write(tmp_path / "manifest.csv")
    again = Manifest.read(tmp_path / "manifest.csv", root, manifest.classes)
    assert again.table.equals(manifest.table)


def test_a_folder_with_brackets_in_its_name(folder_of: FolderOf, tmp_path: Path) -> None:
    root = folder_of({"cat": 1, "dog": 1})
    (tmp_path / "a [b] *").mkdir()
    manifest = scanned(root)
    manifest.write(tmp_path / "a [b] *" / "manifest.csv")
    assert Manifest.read(tmp_path / "a [b] *" / "manifest.csv", root, manifest.classes).table.height == 2


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\x00\xff,1\n2,3,4\n")
    with pytest.raises(DataError, match="not a readable manifest"):
        Manifest.read(tmp_path / "manifest.csv", tmp_path, ["a", "b"])


def test_the_fingerprint_is_of_contents_and_labels(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 2, "dog": 2})
    before = scanned(root).fingerprint()
    assert scanned(root).fingerprint() == before
    (root / "cat/0.png").write_bytes((root / "dog/1.png").read_bytes())
    assert scanned(root).fingerprint() != before


def test_photos_that_are_nearly_the_same_share_the_lowest_digest(cats_dogs: Path, tmp_path: Path) -> None:
    for name, size in (("a", 1.0), ("b", 0.8), ("c", 0.6)):
        with Image.open(cats_dogs / "cat/cat.1.jpg") as photo:
            smaller = photo.resize((round(photo.width * size), round(photo.height * size)))
        (tmp_path / name).mkdir()
        smaller.save(tmp_path / name / "1.jpg", quality=90)
    table = scanned(tmp_path).table
    assert table["group"].to_list() == [min(table["sha256"])] * 3


def test_blank_photos_are_not_the_same_photo(tmp_path: Path) -> None:
    for name, grey in (("a", 60), ("b", 200)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (80, 80), (grey, grey, grey)).save(tmp_path / name / "1.png")
    assert scanned(tmp_path).table["group"].n_unique() == 2
