"""From bytes to the RGB pixels a network sees. The only decoder and the only resize in the package.

Training, validation, the export check and prediction all come through here, so that a photo looks the same to the
network wherever it is read.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from vision_ft.bounds import MAX_BYTES, MAX_PIXELS, check
from vision_ft.errors import UnreadablePhoto
from vision_ft.upright import is_transparent, turn_of, upright_rgb

Pixels: TypeAlias = npt.NDArray[np.uint8]

# Formats whose decoders ship with Pillow and are kept safe there. Everything else is refused by name.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# What a file with each suffix is expected to hold.
SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_FORMAT_OF = {"MPO": "JPEG"}

# Pillow warns and logs, on lines of its own code, of damage beside the pixels; such a photo is read all the same.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # it has a bound of its own
logging.getLogger("PIL").addHandler(logging.NullHandler())

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

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of a photo of that size which is kept: left, top, right, bottom, in pixels of the photo."""
        box_width, box_height = float(width), float(height)
        if self.resize == "shorter":
            scale = min(width / self.width, height / self.height)
            box_width, box_height = self.width * scale, self.height * scale
        box_width, box_height = box_width * self.crop, box_height * self.crop
        left, top = (width - box_width) / 2, (height - box_height) / 2
        return left, top, left + box_width, top + box_height


class Facts(NamedTuple):
    """How a photo lies in its file; none of it keeps the photo from being read.

    Attributes:
        format: one of :data:`FORMATS`.
        mode: Pillow's name for the kind of pixels, such as ``RGB``, ``L``, ``P`` or ``CMYK``.
        deep: more than 8 bits a channel.
        animated: more than one frame.
        turned: its EXIF orientation asks for a turn or a flip.
        transparent: some pixel can be seen through.
    """

    format: str
    mode: str
    deep: bool
    animated: bool
    turned: bool
    transparent: bool


def looks_like_photo(path: Path) -> bool:
    """Whether a file's name says that it is a photo: a known suffix, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def decode(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """Read a photo to its last row.

    Args:
        source: a file's path, or the file's bytes.

    Returns:
        A fully loaded Pillow image in mode RGB, turned as its EXIF orientation says; the first frame of an animation;
        transparency laid on white.

    Raises:
        UnreadablePhoto: the file is missing, broken, too large or in a format that is not read. The message is the
            reason, without the path.
    """
    data = source if isinstance(source, bytes) else file_bytes(source)
    with _opened(data) as image:
        return load(image)


def examine(data: bytes) -> tuple[Image.Image, Facts]:
    """Decode a photo as :func:`decode` does, and say how it lay in its file.

    Raises:
        UnreadablePhoto: as :func:`decode`.
    """
    with _opened(data) as image:
        # Loading forgets how deep the pixels were.
        deep = image.mode.startswith("I") or any("16" in str(tile.args) for tile in getattr(image, "tile", []))
        mode, kind = image.mode, _FORMAT_OF.get(image.format or "", image.format or "")
        photo = load(image)
        return photo, Facts(kind, mode, deep, _is_animated(image), turn_of(image) is not None, is_transparent(image))


def file_bytes(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a file that may be a photo.

    Raises:
        UnreadablePhoto: it is missing, too large, or no file but a pipe or the like, which may never end.
    """
    try:
        found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            raise UnreadablePhoto(os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise UnreadablePhoto("a device or a pipe, which may never end")
        if found.st_size > MAX_BYTES:  # said before it is read
            raise UnreadablePhoto(f"{found.st_size:,} bytes is more than the {MAX_BYTES:,} allowed")
        return Path(path).read_bytes()
    except OSError as error:
        raise UnreadablePhoto(error.strerror or str(error)) from error
    except ValueError as error:  # a path with a zero byte in it
        raise UnreadablePhoto(_reason(error)) from error


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    if not data:
        raise UnreadablePhoto("the file is empty")
    check(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except UnreadablePhoto:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePhoto(f"not one of the formats read here ({', '.join(FORMATS)})") from error
    except Exception as error:
        raise UnreadablePhoto(_reason(error)) from error


def _is_animated(image: Image.Image) -> bool:
    try:
        # Phones put a second, smaller photo behind the first: that is no animation.
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:
        # Its second frame is broken, which nobody is going to look at.
        return False


def load(image: Image.Image) -> Image.Image:
    """Decode an opened image to its last row; the result is as :func:`decode` gives it.

    Raises:
        UnreadablePhoto: as :func:`decode`.
    """
    if image.width * image.height > MAX_PIXELS:
        raise UnreadablePhoto(f"{image.width} × {image.height} pixels is more than the {MAX_PIXELS:,} allowed")
    try:
        image.load()
        return upright_rgb(image)
    except UnreadablePhoto:
        raise
    except MemoryError as error:
        raise UnreadablePhoto("not enough memory to decode it") from error
    except Exception as error:
        # A broken file makes Pillow's format plugins raise almost anything (SyntaxError, struct.error, IndexError …);
        # whatever it is, it concerns this one photo.
        raise UnreadablePhoto(_reason(error)) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def resize(image: Image.Image, framing: Framing, box: tuple[float, float, float, float] | None = None) -> Pixels:
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


def read(source: str | os.PathLike[str] | bytes, framing: Framing) -> Pixels:
    """Decode a photo and frame it for a network.

    Returns:
        uint8 array of shape (framing.height, framing.width, 3), RGB.

    Raises:
        UnreadablePhoto: as :func:`decode`.
    """
    return resize(decode(source), framing)
