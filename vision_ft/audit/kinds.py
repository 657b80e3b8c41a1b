"""The table of what a check can find, in the order in which it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    NECESSARY = "necessary"  # training on it would go wrong; data prepare mends it without asking
    RECOMMENDED = "recommended"  # data prepare asks
    NOTE = "note"  # nothing needs to be done


@dataclass(frozen=True)
class Kind:
    """One thing that can be found.

    Attributes:
        name: as in the tables, and as the options of data prepare take it.
        level: how much it matters.
        title: for people, of one or many photos.
        why: what is wrong with it, in a sentence.
        fix: what data prepare does; empty where it does nothing.
        method: whose method found it, where it is someone's.
    """

    name: str
    level: Level
    title: str
    why: str
    fix: str = ""
    method: str = ""


_CONFIDENT_LEARNING = (
    "Out-of-fold probabilities of a logistic regression on a frozen backbone's features, and as many labels suspected "
    "as are confidently of another class: Northcutt, Jiang and Chuang, Confident Learning, JAIR 2021."
)
_NEIGHBOURS = (
    "Distance to the fifth nearest other photo in a frozen backbone's features: Sun, Ming, Zhu and Li, Out-of-"
    "Distribution Detection with Deep Nearest Neighbors, ICML 2022; strange from 3.5 median absolute deviations above "
    "its class's median: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993."
)
_PERCEPTUAL = (
    "At most 31 of the 256 bits of a perceptual hash differ: Zauner, Implementation and Benchmarking of Perceptual "
    "Image Hash Functions, 2010."
)

_ALL = (
    Kind(
        "empty", Level.NECESSARY, "empty files", "The file has no bytes: it was not copied to its end.", "leaves it out"
    ),
    Kind(
        "unreadable",
        Level.NECESSARY,
        "files that cannot be read",
        "It cannot be opened, or decoding it does not come to the last row: there is nothing to learn from.",
        "leaves it out",
    ),
    Kind(
        "label_conflict",
        Level.NECESSARY,
        "the same photo under different labels",
        "One of the labels is wrong, and nothing in the file says which.",
        "leaves out all copies",
    ),
    Kind(
        "leak",
        Level.NECESSARY,
        "the same photo on two sides of the split",
        "What is learnt by heart would be counted as understood.",
        "keeps the copy that is tested on, or else validated on",
    ),
    Kind(
        "known",
        Level.RECOMMENDED,
        "known faults of a published set",
        "Somebody has looked at this very file and found fault with its label.",
        "gives it the right label, or leaves it out where no label is right",
    ),
    Kind(
        "near_label_conflict",
        Level.RECOMMENDED,
        "nearly the same photo under different labels",
        "One of the labels is likely wrong.",
        "leaves out all of them",
        _PERCEPTUAL,
    ),
    Kind(
        "near_leak",
        Level.RECOMMENDED,
        "nearly the same photo on two sides of the split",
        "What is learnt by heart would be counted as understood.",
        "keeps what is tested on, or else validated on",
        _PERCEPTUAL,
    ),
    Kind(
        "suspect",
        Level.RECOMMENDED,
        "suspected wrong labels",
        "A model that never saw the photo is sure that it is something else.",
        "leaves it out",
        _CONFIDENT_LEARNING,
    ),
    Kind(
        "neither",
        Level.RECOMMENDED,
        "pictures of no class",
        "It looks like none of the other photos.",
        "leaves it out",
        _NEIGHBOURS,
    ),
    Kind(
        "copy",
        Level.RECOMMENDED,
        "the same photo twice",
        "It counts twice in training; its copies are kept on one side of the split in any case.",
        "keeps the first",
    ),
    Kind(
        "near_blank",
        Level.RECOMMENDED,
        "photos that are nearly blank",
        "There is next to nothing to see on it.",
        "leaves it out",
    ),
    Kind(
        "too_small",
        Level.RECOMMENDED,
        "photos that are too small",
        "It has to be blown up so far that little is left to see.",
        "leaves it out",
    ),
    Kind(
        "extreme_shape",
        Level.RECOMMENDED,
        "photos of an extreme shape",
        "The network sees the middle of it only.",
        "leaves it out",
    ),
    Kind(
        "near_copy",
        Level.NOTE,
        "nearly the same photo twice",
        "Photos that are dealt are kept on one side of the split with them.",
        method=_PERCEPTUAL,
    ),
    Kind(
        "imbalance",
        Level.NOTE,
        "classes of very different size",
        "The model will lean towards the large ones; add photos of the small ones.",
    ),
    Kind("few", Level.NOTE, "classes with few photos", "What is measured on so few says little; add photos."),
    Kind(
        "wrong_extension",
        Level.NOTE,
        "names that do not fit the contents",
        "It is read by its contents; other programs may stumble over it.",
    ),
    Kind("animation", Level.NOTE, "animations", "Its first frame is read."),
    Kind("cmyk", Level.NOTE, "photos in CMYK", "It is turned into RGB without a colour profile."),
    Kind("deep", Level.NOTE, "photos with 16 bits a channel", "It is scaled down to 8 bits."),
    Kind("palette", Level.NOTE, "photos with a palette", "It has 256 colours at most."),
    Kind("transparency", Level.NOTE, "photos that can be seen through", "It is laid on white."),
    Kind("rotated", Level.NOTE, "photos turned by EXIF", "It is turned upright when it is read."),
)

KINDS = {kind.name: kind for kind in _ALL}
NECESSARY = tuple(kind.name for kind in _ALL if kind.level is Level.NECESSARY)
RECOMMENDED = tuple(kind.name for kind in _ALL if kind.level is Level.RECOMMENDED)
