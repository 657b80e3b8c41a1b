"""The rectangle of a photo that a network sees, and how it is resampled. The only resize in the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels: TypeAlias = npt.NDArray[np.uint8]
# Left, top, right, bottom, in pixels of a photo.
Box: TypeAlias = tuple[float, float, float, float]

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_FILTERS: dict[str, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Framing:
    """How a photo of any size becomes the rectangle that a network sees.

    Attributes:
        height: rows of the network's input, in pixels.
        width: columns of the network's input, in pixels.
        crop: the share of the photo kept, measured along each side of the largest box that fits; in (0, 1].
        interpolation: the resampling filter; always antialiased.
        resize: ``"shorter"`` keeps the photo's proportions and cuts the longer side; ``"squash"`` keeps all of the
            photo and gives up its proportions.
    """

    height: int
    width: int
    crop: float
    interpolation: Interpolation
    resize: Literal["shorter", "squash"] = "shorter"

    def box(self, width: int, height: int) -> Box:
        """The part of a photo of that size which is kept: left, top, right, bottom, in pixels of the photo."""
        box_width, box_height = float(width), float(height)
        if self.resize == "shorter":
            scale = min(width / self.width, height / self.height)
            box_width, box_height = self.width * scale, self.height * scale
        box_width, box_height = box_width * self.crop, box_height * self.crop
        left, top = (width - box_width) / 2, (height - box_height) / 2
        return left, top, left + box_width, top + box_height


def resize(image: Image.Image, framing: Framing, box: Box | None = None) -> Pixels:
    """Resample a box of an RGB image to the framing's size.

    Args:
        image: an RGB Pillow image.
        framing: gives the size and the filter.
        box: left, top, right, bottom in pixels of the image; the framing's own central box if not given.

    Returns:
        uint8 array of shape (height, width, 3).
    """
    region = framing.box(image.width, image.height) if box is None else box
    size = (framing.width, framing.height)
    return np.asarray(image.resize(size, _FILTERS[framing.interpolation], box=region), dtype=np.uint8)
