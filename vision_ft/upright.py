"""Any kind of pixels that Pillow has read, as an upright RGB photo.

Orientation as EXIF says, transparency laid on white, 16 bits scaled to 8; in bands of rows, so that a large photo is
not held in several forms at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from vision_ft.errors import UnreadablePhoto

_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_BAND = 256
# What undoes each orientation that EXIF knows.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))
# What runs from right to left, and from bottom to top, as it lies in the file.
_FROM_RIGHT = frozenset(_TURNS[orientation] for orientation in (2, 3, 6, 7))
_FROM_BELOW = frozenset(_TURNS[orientation] for orientation in (3, 4, 7, 8))


def upright_rgb(image: Image.Image) -> Image.Image:
    """A photo as a network may see it.

    Args:
        image: loaded.

    Raises:
        UnreadablePhoto: its pixels have no known range.
    """
    turn = turn_of(image)
    flat = _rgb(image)
    return flat if turn is None else flat.transpose(turn)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """What brings a photo upright; ``None`` where it is."""
    # Pillow's own helper copies upright photos too, and writes all other tags anew: memory and time for nothing.
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # The pixels are good and only the note about their orientation is not: keep the photo as it lies.
        return None


def is_sideways(turn: Image.Transpose | None) -> bool:
    """Whether what brings a photo upright swaps its width and its height."""
    return turn in _SIDEWAYS


def reversed_sides(turn: Image.Transpose | None) -> tuple[bool, bool]:
    """Whether the left edge of the upright photo is an end of the rows or columns in the file; and its upper edge."""
    return turn in _FROM_RIGHT, turn in _FROM_BELOW


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadablePhoto("floating-point pixels have no known range; save it with 8 bits a channel")
    clear = image.mode in _WITH_ALPHA or "transparency" in image.info
    if not clear and not image.mode.startswith("I"):
        # Pillow would copy what is RGB already.
        return image if image.mode == "RGB" else image.convert("RGB")
    whole = Image.new("RGB", image.size, "white")
    for top, band in _bands(image):
        if image.mode.startswith("I"):  # 16-bit grey: ``convert`` would clip it to white
            deep = np.asarray(band).clip(0, 65535).astype(np.uint16)
            whole.paste(Image.fromarray((deep // 257).astype(np.uint8)).convert("RGB"), (0, top))
        else:
            layer = band.convert("RGBA")
            whole.paste(layer, (0, top), mask=layer)
    return whole


def is_transparent(image: Image.Image) -> bool:
    """Whether some pixel of a loaded image can be seen through."""
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return False
    return any(int(np.asarray(band.convert("RGBA"))[..., 3].min()) < 255 for _, band in _bands(image))


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Some rows at a time, each with the row where they start: a large photo is not held in several forms at once."""
    for top in range(0, image.height, _BAND):
        yield top, image.crop((0, top, image.width, min(top + _BAND, image.height)))
