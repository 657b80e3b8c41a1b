"""File names that say the class: the layouts in which two well-known pet sets are published."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vision_ft.data.listing import Listed, Listing, natural
from vision_ft.errors import DataError

_FEW = 5


@dataclass(frozen=True)
class Naming:
    """A way of naming photos.

    Attributes:
        about: what it is, for people.
        pattern: what every name looks like; its group ``name`` is what tells the class.
        label: from that group to the class.
    """

    about: str
    pattern: re.Pattern[str]
    label: Callable[[str], str]


# A breed begins with a capital or has none at all: a camera's own names, such as IMG_1.jpg, are none.
_BREED = re.compile(r"(?P<name>[A-Z][a-z]+(?:_[A-Z]?[a-z]+)*|[a-z]+(?:_[a-z]+)*)_\d+\.[^.]+")

NAMINGS = {
    "kaggle": Naming("names as in Kaggle's 'cat.123.jpg'", re.compile(r"(?P<name>[^.]+)\.\d+\.[^.]+"), str),
    "oxford-pets": Naming(
        "names as in the Oxford-IIIT Pet set, where a capital is a cat",
        _BREED,
        lambda name: "cat" if name[0].isupper() else "dog",
    ),
    "oxford-breeds": Naming("names as in the Oxford-IIIT Pet set, a class a breed", _BREED, str),
}


def naming_of(files: Sequence[str]) -> Naming | None:
    """The first way of naming that fits all of some names and tells two classes apart."""
    for naming in NAMINGS.values():
        matches = [naming.pattern.fullmatch(name) for name in files]
        if all(matches) and len({naming.label(match["name"]) for match in matches if match}) > 1:
            return naming
    return None


def list_named(root: Path, files: Sequence[str], naming: Naming) -> Listing:
    """List photos by their names.

    Args:
        root: the folder they lie in.
        files: their names.
        naming: what the names mean.

    Raises:
        DataError: some names mean nothing, or there are fewer than two classes.
    """
    photos, strange = [], []
    for name in files:
        if match := naming.pattern.fullmatch(name):
            photos.append(Listed(name, naming.label(match["name"]), None))
        else:
            strange.append(name)
    if strange:
        more = f" and {len(strange) - _FEW} more" if len(strange) > _FEW else ""
        raise DataError(
            f"data.layout: {str(root)!r} should have {naming.about}, but holds "
            f"{', '.join(map(repr, strange[:_FEW]))}{more}; rename or remove these, or make one folder a class"
        )
    classes = tuple(sorted({photo.label for photo in photos}, key=natural))
    if len(classes) < 2:
        found = f"a single class, {classes[0]!r}" if classes else "no photos"
        raise DataError(f"data.layout: {str(root)!r} should have {naming.about}, but there is {found}")
    return Listing.of(root, classes, photos, (f"classes are read from {naming.about}",))
