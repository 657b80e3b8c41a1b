from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vision_ft.errors import UsageError
from vision_ft.runtime.photos import Named
from vision_ft.runtime.sources import count_photos, photo_paths

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


def test_a_url_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    urls = ["http://a.example/x.jpg", "S3://bucket/x.jpg", "file:///etc/passwd"]
    with pytest.raises(UsageError, match="a URL, and nothing is fetched"):
        photo_paths(urls, [])
    listed = list(photo_paths(["-"], [f"{url}\n" for url in urls]))
    assert [one.path for one in listed if isinstance(one, Named)] == urls
    assert all("nothing is fetched" in str(one.content) for one in listed if isinstance(one, Named))
    # A file may be called so.
    (tmp_path / "http:" / "a.example").mkdir(parents=True)
    (tmp_path / "http:" / "a.example" / "x.jpg").touch()
    assert list(photo_paths(["-"], [urls[0]])) == [urls[0]]


def test_photos_are_counted_where_that_is_cheap(folder_of: FolderOf, tmp_path: Path) -> None:
    root = folder_of({"a": 3, "b/deep": 2})
    assert count_photos([str(root), "x.jpg"]) == 6
    assert count_photos([str(root), "-"]) is None
    (tmp_path / "a.zip").touch()
    assert count_photos([str(tmp_path / "a.zip")]) is None
    assert count_photos(["none.zip"]) == 1
