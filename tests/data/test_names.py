from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from vision_ft.data.layout import list_photos
from vision_ft.errors import ConfigError, DataError

FolderOf = Callable[..., Path]


def named(root: Path, names: Sequence[str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 8)).save(root / name)
    return root


def labels(root: Path, layout: str = "auto") -> dict[str, str]:
    return dict(list_photos(root, layout).table.select("path", "label").iter_rows())


def test_kaggle_names(tmp_path: Path) -> None:
    root = named(tmp_path, ["cat.0.jpg", "cat.10.jpg", "dog.2.jpg", "My Fox.3.png"])
    assert labels(root) == {"cat.0.jpg": "cat", "cat.10.jpg": "cat", "dog.2.jpg": "dog", "My Fox.3.png": "My Fox"}
    assert list_photos(root).classes == ("cat", "dog", "My Fox")


def test_oxford_names_say_cat_by_a_capital(tmp_path: Path) -> None:
    names = ["Abyssinian_1.jpg", "Egyptian_Mau_12.jpg", "beagle_3.jpg", "english_cocker_spaniel_100.jpg"]
    root = named(tmp_path, names)
    assert list(labels(root).values()) == ["cat", "cat", "dog", "dog"]
    assert list_photos(root).notes == (
        "classes are read from names as in the Oxford-IIIT Pet set, where a capital is a cat",
    )


def test_oxford_breeds_by_wish(tmp_path: Path) -> None:
    root = named(tmp_path, ["Abyssinian_1.jpg", "Egyptian_Mau_12.jpg", "beagle_3.jpg"])
    assert set(labels(root, "oxford-breeds").values()) == {"Abyssinian", "Egyptian_Mau", "beagle"}


@pytest.mark.parametrize("names", [["IMG_1.jpg", "DSC_2.jpg"], ["IMG_1.jpg", "photo_2.jpg"], ["1.jpg", "2.jpg"]])
def test_a_cameras_names_say_nothing(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(DataError, match="nothing to learn from"):
        list_photos(named(tmp_path, names))


def test_one_strange_name_and_nothing_is_guessed(tmp_path: Path) -> None:
    root = named(tmp_path, ["cat.0.jpg", "dog.2.jpg", "holiday.jpg"])
    with pytest.raises(DataError, match="3 photos lie in it without a class folder"):
        list_photos(root)
    with pytest.raises(DataError, match=r"Kaggle's 'cat.123.jpg', but holds 'holiday.jpg'"):
        list_photos(root, "kaggle")


def test_other_files_beside_do_not_matter(tmp_path: Path) -> None:
    root = named(tmp_path, ["Abyssinian_1.jpg", "beagle_3.jpg"])
    (root / "Abyssinian_100.mat").write_bytes(b"x")
    (root / ".DS_Store").write_bytes(b"x")
    (root / ".ipynb_checkpoints").mkdir()
    assert len(labels(root)) == 2


def test_class_folders_come_before_names(folder_of: FolderOf) -> None:
    root = folder_of({"a": 1, "b": 1})
    named(root, ["cat.0.jpg", "dog.0.jpg"])
    listing = list_photos(root)
    assert listing.classes == ("a", "b")
    assert listing.notes == ("2 photos lie beside the class folders and in none of them: left out",)


def test_a_folder_above_telling_names_is_pointed_to(tmp_path: Path) -> None:
    named(tmp_path / "pets" / "images", ["Abyssinian_1.jpg", "beagle_3.jpg"])
    with pytest.raises(DataError, match=r"did you mean '.*/pets/images'"):
        list_photos(tmp_path / "pets")


def test_a_single_class_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is a single class, 'cat'"):
        list_photos(named(tmp_path, ["cat.0.jpg", "cat.1.jpg"]), "kaggle")


def test_no_such_layout(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no 'kagle' \(did you mean 'kaggle'\?\)"):
        list_photos(tmp_path, "kagle")
