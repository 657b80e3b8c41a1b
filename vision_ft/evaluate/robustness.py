"""How a model does on photos that are made worse, in ways that cameras, messengers and weather make them worse.

After Hendrycks and Dietterich (https://arxiv.org/abs/1903.12261), with seven ways in five strengths. Each works on the
rectangle that the network sees, so that a strength means the same for every size of photo.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from PIL import Image, ImageEnhance, ImageFilter

from vision_ft.data.listing import TEST, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.errors import DataError, UnreadablePhoto
from vision_ft.evaluate.intervals import wilson
from vision_ft.files import spread
from vision_ft.framing import Pixels
from vision_ft.imaging import file_bytes, read
from vision_ft.runtime.predictor import Predictor

_BATCH = 32
# Strengths that are lengths are for a view of this many pixels, and scaled to others.
_SIDE = 224


@dataclass(frozen=True)
class Kind:
    """One way to make photos worse.

    Attributes:
        name: short, for files.
        title: for people.
        strengths: from weak to strong.
        unit: printed behind a strength, or in front of it where it ends with a space.
        harm: a photo, a strength and the photo's number to a worse photo of the same size.
    """

    name: str
    title: str
    strengths: tuple[float, ...]
    unit: str
    harm: Callable[[Pixels, float, int], Pixels]


def _jpeg(pixels: Pixels, quality: float, _: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(quality))
    with Image.open(buffer, formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


def _blur(pixels: Pixels, radius: float, _: int) -> Pixels:
    scaled = radius * min(pixels.shape[:2]) / _SIDE
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(scaled)))


def _noise(pixels: Pixels, sigma: float, number: int) -> Pixels:
    rng = np.random.default_rng(number)
    return np.clip(pixels + rng.normal(0, sigma, pixels.shape), 0, 255).round().astype(np.uint8)


def _dark(pixels: Pixels, brightness: float, _: int) -> Pixels:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(brightness))


def _grey(pixels: Pixels, lost: float, _: int) -> Pixels:
    return np.asarray(ImageEnhance.Color(Image.fromarray(pixels)).enhance(1 - lost))


def _rotated(pixels: Pixels, degrees: float, number: int) -> Pixels:
    height, width = pixels.shape[:2]
    # What comes in from outside is a mirror of what is there, and no black corner that says how far it was turned.
    around = ((height // 2, height // 2), (width // 2, width // 2), (0, 0))
    wide = Image.fromarray(np.pad(pixels, around, mode="symmetric"))
    turned = np.asarray(wide.rotate(degrees if number % 2 else -degrees, Image.Resampling.BICUBIC))
    return turned[height // 2 : height // 2 + height, width // 2 : width // 2 + width]


def _small(pixels: Pixels, times: float, _: int) -> Pixels:
    photo = Image.fromarray(pixels)
    size = (max(1, round(photo.width / times)), max(1, round(photo.height / times)))
    return np.asarray(photo.resize(size, Image.Resampling.BILINEAR).resize(photo.size, Image.Resampling.BICUBIC))


KINDS = (
    Kind("jpeg", "JPEG quality", (50, 30, 15, 8, 3), "", _jpeg),
    Kind("blur", "blur, radius in pixels", (1, 2, 3, 5, 8), "", _blur),
    Kind("noise", "noise, standard deviation of 255", (10, 20, 40, 60, 90), "", _noise),
    Kind("dark", "brightness left", (0.6, 0.4, 0.25, 0.15, 0.08), "", _dark),
    Kind("rotation", "turned by", (10, 20, 45, 90, 180), "°", _rotated),
    Kind("small", "size, as a part of the whole", (2, 4, 6, 8, 12), "1/", _small),
    Kind("grey", "colour lost", (0.2, 0.4, 0.6, 0.8, 1.0), "", _grey),
)


def try_robustness(predictor: Predictor, manifest: Manifest, photos: int) -> dict[str, Any]:
    """Accuracy on held-out photos as they are, and made worse.

    Args:
        predictor: the exported model.
        manifest: of the run; its test photos are taken or, without a test part, those for validation.
        photos: how many at most, evenly spread over the part.

    Returns:
        The record; ``docs/report.md`` has its schema.

    Raises:
        DataError: photos are gone, or are not what they were.
    """
    part = TEST if manifest.part(TEST).height else VAL
    rows = manifest.part(part).sort("label", "path")
    chosen = rows[spread(range(rows.height), photos)] if rows.height else rows
    views, labels = _views(predictor, manifest, chosen)
    if len(views) < chosen.height or not views:
        raise DataError(
            f"{chosen.height - len(views)} of {chosen.height} {part} photos of the run are gone or changed below "
            f"{str(manifest.root)!r}; if they were moved, name their folder with --root"
        )
    wanted = np.array(labels)
    return {
        "part": {TEST: "test", VAL: "validation"}[part],
        "photos": len(views),
        "clean": _share(predictor, views, wanted),
        "kinds": [
            {
                "name": kind.name,
                "title": kind.title,
                "strengths": [
                    {
                        "strength": f"{kind.unit}{strength:g}" if kind.unit == "1/" else f"{strength:g}{kind.unit}",
                        **_share(predictor, [kind.harm(view, strength, n) for n, view in enumerate(views)], wanted),
                    }
                    for strength in kind.strengths
                ],
            }
            for kind in KINDS
        ],
    }


def _views(predictor: Predictor, manifest: Manifest, rows: pl.DataFrame) -> tuple[list[Pixels], list[int]]:
    """Those photos that are what the run saw, framed, and their class numbers."""
    views, labels = [], []
    for path, label, sha256 in zip(manifest.paths(rows), manifest.labels(rows), rows["sha256"], strict=True):
        try:
            data = file_bytes(path)
            if hashlib.sha256(data).hexdigest() != sha256:
                continue
            views.append(read(data, predictor.spec.preprocessing.framing))
        except UnreadablePhoto:
            continue
        labels.append(label)
    return views, labels


def _share(predictor: Predictor, views: Sequence[Pixels], labels: np.ndarray[Any, Any]) -> dict[str, Any]:
    hits = sum(int((guesses == labels[here]).sum()) for here, guesses in _guesses(predictor, views))
    return {"accuracy": hits / len(views), "accuracy_interval": wilson(hits, len(views))}


def _guesses(predictor: Predictor, views: Sequence[Pixels]) -> Iterator[tuple[slice, Any]]:
    for start in range(0, len(views), _BATCH):
        here = slice(start, start + _BATCH)
        yield here, predictor.probabilities(np.stack(views[here])).argmax(axis=1)
