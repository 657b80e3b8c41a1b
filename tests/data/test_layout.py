from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vision_ft.data.layout import list_photos
from vision_ft.data.listing import natural
from vision_ft.errors import DataError

FolderOf = Callable[..., Path]


def test_one_folder_a_class(folder_of: FolderOf) -> None:
    listing = list_photos(folder_of({"dog": 2, "cat": 3}))
    assert listing.classes == ("cat", "dog")
    assert listing.table["label"].to_list() == ["cat"] * 3 + ["dog"] * 2
    assert set(listing.table["split"]) == {None}


def test_splits_above_the_classes(folder_of: FolderOf) -> None:
    listing = list_photos(folder_of({"train/a": 2, "train/b": 2, "valid/a": 1, "test/b": 1}))
    assert listing.classes == ("a", "b")
    assert listing.table.select("path", "split").rows()[-2:] == [
        ("valid/a/0.png", "val"),
        ("test/b/0.png", "test"),
    ]


def test_classes_are_in_natural_order(folder_of: FolderOf) -> None:
    root = folder_of(dict.fromkeys(("class10", "class2", "Class1", "alpha"), 1))
    assert list_photos(root).classes == ("alpha", "Class1", "class2", "class10")


def test_natural_order_compares_any_two_names() -> None:
    names = ["10", "2", "a", "a10b2", "a10", "a2", "", "ä", "²", "٣", "A2"]
    assert sorted(names, key=natural)[:3] == ["", "2", "٣"]


@pytest.mark.parametrize("stray", [".ipynb_checkpoints", ".git", "__MACOSX"])
def test_what_programs_leave_behind_is_no_class(folder_of: FolderOf, stray: str) -> None:
    assert list_photos(folder_of({"cat": 1, "dog": 1, stray: 3})).classes == ("cat", "dog")


def test_files_that_are_no_photos_are_passed_over(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 1, "dog": 1})
    for name in ("Thumbs.db", ".DS_Store", ".hidden.jpg", "notes.txt"):
        (root / "cat" / name).write_text("x")
    assert list_photos(root).table.height == 2


def test_photos_lie_at_any_depth(folder_of: FolderOf) -> None:
    root = folder_of({"cat/siamese/kittens": 2, "dog": 1})
    assert list_photos(root).table["label"].to_list() == ["cat", "cat", "dog"]


def test_a_loop_of_links_ends(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 2, "dog": 1})
    (root / "cat" / "again").symlink_to(root / "cat", target_is_directory=True)
    (root / "dog" / "up").symlink_to(root, target_is_directory=True)
    labels = list_photos(root).table["label"].to_list()
    assert labels.count("cat") == 2


@pytest.mark.parametrize("name", ["with space", "it's", 'say "hi"', "new\nline", "кошка", "猫", "a,b;c"])
def test_any_name_works(folder_of: FolderOf, name: str) -> None:
    listing = list_photos(folder_of({name: 1, "other": 1}))
    assert name in listing.classes


def test_a_class_name_that_is_not_utf8_is_named(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 1, "dog": 1})
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(DataError, match=r"caf\\xe9"):
        list_photos(root)


def refused(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        list_photos(root)
    message = str(caught.value)
    assert "\n" not in message
    assert str(root) in message
    return message


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "no folder" in refused(tmp_path / "nothing")


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is a file" in refused(tmp_path / "file")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "holds no photos" in refused(tmp_path)


def test_photos_without_class_folders(folder_of: FolderOf) -> None:
    assert "3 photos lie in it without a class folder" in refused(folder_of({"": 3}))


def test_a_single_class(folder_of: FolderOf) -> None:
    assert "single class, 'cat'" in refused(folder_of({"cat": 3}))


def test_a_class_without_photos(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 3, "dog": 1, "fox": 0})
    assert "no photos for class 'fox'" in refused(root)


def test_a_class_without_training_photos(folder_of: FolderOf) -> None:
    assert "in train/ for class 'fox'" in refused(folder_of({"train/cat": 1, "train/dog": 1, "val/fox": 1}))


def test_split_folders_without_classes(folder_of: FolderOf) -> None:
    assert "train/ without class folders" in refused(folder_of({"train": 3, "test": 3}))


def test_a_class_may_have_the_name_of_a_split(folder_of: FolderOf) -> None:
    assert list_photos(folder_of({"test": 1, "sample": 1})).classes == ("sample", "test")


def test_a_locked_folder_is_named_and_not_passed_over(folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read any folder, so the refusal is the file system's own answer, put there."""
    root = folder_of({"cat/locked": 1, "dog": 1})
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "locked' cannot be read: Permission denied" in refused(root)


def test_classes_beside_splits(folder_of: FolderOf) -> None:
    assert "'fox'" in refused(folder_of({"train/cat": 1, "train/dog": 1, "fox": 1}))


def test_two_folders_for_one_split(folder_of: FolderOf) -> None:
    root = folder_of({"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1})
    assert "keep one" in refused(root)


def test_no_training_folder(folder_of: FolderOf) -> None:
    assert "no train folder" in refused(folder_of({"val/a": 1, "val/b": 1, "test/a": 1}))


def test_a_class_folder_that_is_a_link_to_nothing(folder_of: FolderOf) -> None:
    root = folder_of({"a": 1, "b": 1})
    (root / "bird").symlink_to(root.parent / "nowhere")
    assert "is a link that leads nowhere" in refused(root)
