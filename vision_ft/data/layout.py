"""From a folder or a table to a list of photos with labels, before any photo is opened.

Layouts: one folder a class; ``train``, ``val`` and ``test`` above such folders; names that say the class
(:mod:`~vision_ft.data.names`); a table (:mod:`~vision_ft.data.tables`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from vision_ft.data import names
from vision_ft.data.listing import SPLIT_NAMES, SPLITS, TRAIN, Listed, Listing, natural, quoted
from vision_ft.data.tables import TABLES, list_table
from vision_ft.errors import ConfigError, DataError, nearest
from vision_ft.files import LEAVINGS, walk_photos
from vision_ft.imaging import looks_like_photo

AUTO, FOLDERS = "auto", "folders"
LAYOUTS = (AUTO, FOLDERS, *names.NAMINGS)


def list_photos(root: Path, layout: str = AUTO) -> Listing:
    """List labelled photos.

    Args:
        root: the folder of class folders, or of ``train``, ``val``, ``test`` above them; a folder of photos whose
            names say the class; or a ``.csv`` or ``.parquet`` table.
        layout: one of :data:`LAYOUTS`; ``auto`` looks for folders first and for telling names next.

    Raises:
        DataError: the folder is missing or empty, has fewer than two classes, or mixes two layouts. Everything that
            is wrong with the folder's shape is named in one message.
        ConfigError: there is no such layout.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"data.layout: no {layout!r}{nearest(layout, LAYOUTS)}; there are {', '.join(LAYOUTS)}")
    if not root.exists():
        raise DataError(
            f"data.root: no folder {str(root)!r}, nor a table; give the folder that holds one folder a class, or a "
            f"table ({', '.join(TABLES)})"
        )
    if root.suffix.lower() in TABLES and not root.is_dir():
        return list_table(root)
    if not root.is_dir():
        raise DataError(
            f"data.root: {str(root)!r} is a file, and no table ({', '.join(TABLES)}); give the folder that holds one "
            "folder a class, or a table"
        )
    if layout in names.NAMINGS:
        return names.list_named(root, _loose(root), names.NAMINGS[layout])
    folders = _folders(root)
    split_folders = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES and _folders(folder)]
    if layout == AUTO and not split_folders and (named := _named(root, folders)):
        return named
    return _list_folders(root, folders, split_folders)


def _named(root: Path, folders: list[Path]) -> Listing | None:
    """The listing by names, where photos lie loose and no folder holds any."""
    loose = _loose(root)
    naming = names.naming_of(loose)
    if naming is None or any(next(walk_photos(folder), None) for folder in folders):
        return None
    return names.list_named(root, loose, naming)


def _list_folders(root: Path, folders: list[Path], split_folders: list[Path]) -> Listing:
    if split_folders:
        photos = _list_splits(root, folders, split_folders)
    else:
        if not folders:
            raise DataError(_nothing_in(root))
        if all(folder.name.lower() in SPLIT_NAMES for folder in folders):
            raise DataError(
                f"data.root: {str(root)!r} has {', '.join(folder.name + '/' for folder in folders)} without class "
                "folders in them; make one folder a class there"
            )
        photos = [photo for folder in folders for photo in _list_class(root, folder, split=None)]
    tops = split_folders or [root]
    classes = tuple(sorted({folder.name for top in tops for folder in _folders(top)}, key=natural))
    _check_classes(root, classes, photos, has_splits=bool(split_folders))
    loose = sum(len(_loose(top)) for top in {root, *tops})
    notes = (f"{loose} photos lie beside the class folders and in none of them: left out",) if loose else ()
    return Listing.of(root, classes, photos, notes)


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
        split = SPLIT_NAMES[folder.name.lower()]
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


def _check_classes(root: Path, classes: tuple[str, ...], photos: Iterable[Listed], *, has_splits: bool) -> None:
    if len(classes) < 2:
        inside = root / classes[0]
        hint = f"; did you mean {str(inside)!r}?" if names.naming_of(_loose(inside)) else ""
        raise DataError(
            f"data.root: {str(root)!r} has a single class, {classes[0]!r}; a classifier needs two or more folders{hint}"
        )
    if not photos:
        raise DataError(_nothing_in(root))
    where = TRAIN if has_splits else None
    trained = {photo.label for photo in photos if photo.split == where}
    if empty := [name for name in classes if name not in trained]:
        part = " in train/" if has_splits else ""
        raise DataError(
            f"data.root: no photos{part} for {quoted(empty)} in {str(root)!r}; put photos in, or take the folder out"
        )


def _nothing_in(root: Path) -> str:
    loose = len(_loose(root))
    found = f"{loose} photos lie in it without a class folder" if loose else "it holds no photos"
    if table := next((entry.name for entry in sorted(root.iterdir()) if entry.suffix.lower() in TABLES), None):
        found += f", but a table: did you mean {str(root / table)!r}?"
    return (
        f"data.root: nothing to learn from in {str(root)!r}: {found}; make one folder a class, with photos in it, or "
        "name the photos by class as in 'cat.1.jpg'"
    )


def _loose(folder: Path) -> list[str]:
    """The names of the photos that lie in a folder itself."""
    return sorted(entry.name for entry in folder.iterdir() if looks_like_photo(entry) and not entry.is_dir())


def _folders(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except PermissionError as error:
        raise DataError(f"data.root: {str(folder)!r} cannot be read: {error.strerror}; mend its permissions") from error
    children = [
        child for child in entries if child.is_dir() and not child.name.startswith(".") and child.name not in LEAVINGS
    ]
    for entry in entries:
        if entry.is_symlink() and not entry.exists() and not entry.suffix:
            raise DataError(f"data.root: {str(entry)!r} is a link that leads nowhere; mend it or take it away")
    for child in children:
        if not _is_text(child.name):
            raise DataError(
                f"data.root: the folder name {os.fsencode(child.name)!r} in {str(folder)!r} is not UTF-8; rename it"
            )
    return sorted(children, key=lambda child: natural(child.name))


def _list_class(root: Path, folder: Path, split: str | None) -> Iterator[Listed]:
    for path in walk_photos(folder):
        yield Listed(path.relative_to(root).as_posix(), folder.name, split)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
