"""Which of ImageNet's thousand classes a name stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from timm.data.imagenet_info import ImageNetInfo

CLASSES = 1000
# Names that stand for many of its classes: dogs from the Chihuahua to the Mexican hairless (wolves, the dingo and other
# wild ones come after them), and domestic cats from the tabby to the Egyptian cat.
_BREEDS: Mapping[str, range] = {"dog": range(151, 269), "cat": range(281, 286)}


def rows_of(classes: Sequence[str]) -> list[list[int]] | None:
    """For each class the numbers of the ImageNet classes that it stands for, or ``None`` if one stands for none.

    A name is compared with ImageNet's words for a class (``tabby``, ``golden retriever``) and with the number of its
    synset (``n02099601``), whatever its case, with spaces, hyphens or underscores, in the singular or with an s.
    """
    rows = [_rows(name) for name in classes]
    return rows if all(rows) else None


def _rows(name: str) -> list[int]:
    known = _known()
    plain = _plain(name)
    return known.get(plain) or known.get(plain.removesuffix("s")) or []


@cache
def _known() -> Mapping[str, list[int]]:
    info = ImageNetInfo()
    known: dict[str, list[int]] = {}
    for number in range(CLASSES):
        words = info.index_to_description(number, detailed=False).split(",")
        for word in dict.fromkeys(_plain(word) for word in [info.index_to_label_name(number), *words]):
            known.setdefault(word, []).append(number)
    return {**known, **{name: list(numbers) for name, numbers in _BREEDS.items()}}


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
