from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vision_ft.errors import UsageError
from vision_ft.runtime.sources import photo_paths

FolderOf = Callable[..., Path]


def test_files_folders_and_a_list(folder_of: FolderOf, tmp_path: Path) -> None:
    root = folder_of({"b": 1, "a/deep": 2, ".hidden": 1})
    (root / "a" / "notes.txt").write_text("x")
    odd = tmp_path / "no suffix"
    odd.write_bytes(b"x")
    paths = list(photo_paths([str(odd), str(root), "-"], ["one.jpg\n", "\n", "two words.jpg\r\n", "three.jpg"]))
    assert paths == [
        str(odd),
        str(root / "a/deep/0.png"),
        str(root / "a/deep/1.png"),
        str(root / "b/0.png"),
        "one.jpg",
        "two words.jpg",
        "three.jpg",
    ]


def test_links_to_folders_are_followed_as_in_training(folder_of: FolderOf, tmp_path: Path) -> None:
    root = folder_of({"real": 2})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "class").symlink_to(root / "real", target_is_directory=True)
    assert len(list(photo_paths([str(tmp_path / "linked")], []))) == 2


def test_what_is_not_there_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'nothing', 'neither'"):
        photo_paths([str(tmp_path), "nothing", "neither"], [])


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no photos below"):
        photo_paths([str(tmp_path)], [])
