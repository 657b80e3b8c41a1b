"""From a folder to a list of photos with labels, before any file is opened.

Two layouts: one folder a class, or ``train``, ``val`` and ``test`` above such folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vision_ft.errors import DataError
from vision_ft.files import LEAVINGS, walk_photos
from vision_ft.imaging import looks_like_photo

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)
_SPLIT_FOLDERS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}


@dataclass(frozen=True)
class Listed:
    """A photo that was found.

    Attributes:
        path: below the root, with ``/``.
        label: the class's name.
        split: one of :data:`SPLITS`, or ``None`` where the folder does not say.
    """

    path: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Listing:
    """All photos of a folder; ``classes`` is in natural order, the same for every split."""

    root: Path
    classes: tuple[str, ...]
    photos: tuple[Listed, ...]


def natural(name: str) -> tuple[list[str | int], str]:
    """A sort key that puts ``2`` before ``10``; the name itself settles ties.

    Text and numbers alternate in the list, so two keys always compare like with like.
    """
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def list_photos(root: Path) -> Listing:
    """List a labelled folder.

    Args:
        root: the folder of class folders, or of ``train``, ``val``, ``test`` above them.

    Raises:
        DataError: the folder is missing or empty, has fewer than two classes, or mixes the two layouts. Everything
            that is wrong with the folder's shape is named in one message.
    """
    if not root.exists():
        raise DataError(f"data.root: no folder {str(root)!r}; give the folder that holds one folder a class")
    if not root.is_dir():
        raise DataError(f"data.root: {str(root)!r} is a file; give the folder that holds one folder a class")
    folders = _folders(root)
    split_folders = [folder for folder in folders if folder.name.lower() in _SPLIT_FOLDERS and _folders(folder)]
    if split_folders:
        photos = _list_splits(root, folders, split_folders)
    else:
        if not folders:
            raise DataError(_nothing_in(root))
        if all(folder.name.lower() in _SPLIT_FOLDERS for folder in folders):
            raise DataError(
                f"data.root: {str(root)!r} has {', '.join(folder.name + '/' for folder in folders)} without class "
                "folders in them; make one folder a class there"
            )
        photos = [photo for folder in folders for photo in _list_class(root, folder, split=None)]
    classes = tuple(sorted({folder.name for top in (split_folders or [root]) for folder in _folders(top)}, key=natural))
    _check_classes(root, classes, photos, has_splits=bool(split_folders))
    return Listing(root=root, classes=classes, photos=tuple(photos))


def _list_splits(root: Path, folders: list[Path], split_folders: list[Path]) -> list[Listed]:
    strays = [folder.name for folder in folders if folder not in split_folders]
    if strays:
        found = ", ".join(f"{folder.name}/" for folder in split_folders)
        raise DataError(
            f"data.root: {str(root)!r} has {found} and beside them {', '.join(map(repr, strays))}: "
            "either all folders are parts of the data or all are classes; move one kind away"
        )
    by_split: dict[str, Path] = {}
    for folder in split_folders:
        split = _SPLIT_FOLDERS[folder.name.lower()]
        if split in by_split:
            raise DataError(f"data.root: {str(root)!r} has both {by_split[split].name!r} and {folder.name!r}; keep one")
        by_split[split] = folder
    if TRAIN not in by_split:
        raise DataError(f"data.root: {str(root)!r} has {', '.join(by_split)} but no train folder")
    return [
        photo
        for split in SPLITS
        if split in by_split
        for folder in _folders(by_split[split])
        for photo in _list_class(root, folder, split)
    ]


def _check_classes(root: Path, classes: tuple[str, ...], photos: list[Listed], *, has_splits: bool) -> None:
    if len(classes) < 2:
        raise DataError(
            f"data.root: {str(root)!r} has a single class, {classes[0]!r}; a classifier needs two or more folders"
        )
    if not photos:
        raise DataError(_nothing_in(root))
    where = TRAIN if has_splits else None
    trained = {photo.label for photo in photos if photo.split == where}
    if empty := [name for name in classes if name not in trained]:
        part = " in train/" if has_splits else ""
        raise DataError(
            f"data.root: no photos{part} for {_classes(empty)} in {str(root)!r}; put photos in, or take the folder out"
        )


def _nothing_in(root: Path) -> str:
    loose = sum(1 for entry in root.iterdir() if looks_like_photo(entry))
    found = f"{loose} photos lie in it without a class folder" if loose else "it holds no photos"
    return f"data.root: nothing to learn from in {str(root)!r}: {found}; make one folder a class, with photos in it"


def _classes(names: list[str]) -> str:
    return f"{'class' if len(names) == 1 else 'classes'} {', '.join(map(repr, names))}"


def _folders(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except PermissionError as error:
        raise DataError(f"data.root: {str(folder)!r} cannot be read: {error.strerror}; mend its permissions") from error
    children = [
        child for child in entries if child.is_dir() and not child.name.startswith(".") and child.name not in LEAVINGS
    ]
    for child in children:
        if not _is_text(child.name):
            raise DataError(
                f"data.root: the folder name {os.fsencode(child.name)!r} in {str(folder)!r} is not UTF-8; rename it"
            )
    return sorted(children, key=lambda child: natural(child.name))


def _list_class(root: Path, folder: Path, split: str | None) -> Iterator[Listed]:
    for path in walk_photos(folder):
        yield Listed(path=path.relative_to(root).as_posix(), label=folder.name, split=split)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
