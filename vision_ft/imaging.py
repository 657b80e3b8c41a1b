"""From bytes to the RGB pixels a network sees. The only decoder in the package.

Training, validation, the export check and prediction all come through here, so that a photo looks the same to the
network wherever it is read from its file. One that was decoded elsewhere is resampled from all of its pixels, of which
fewer are decoded here where they are many more than the network sees.
"""

from __future__ import annotations

import errno
import functools
import io
import logging
import math
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from vision_ft.bounds import MAX_BYTES, MAX_PIXELS, check
from vision_ft.errors import UnreadablePhoto
from vision_ft.framing import Box, Framing, Pixels, resize
from vision_ft.upright import is_sideways, is_transparent, reversed_sides, turn_of, upright_rgb

# Formats whose decoders ship with Pillow and are kept safe there; HEIC comes with an extra. Everything else is refused
# by name.
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
    ".heic": "HEIC",
    ".heif": "HEIC",
}
_FORMAT_OF = {"MPO": "JPEG", "HEIF": "HEIC"}
# What follows ``ftyp`` in a file that may be a HEIC.
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
# How many times as many pixels as a view has are decoded for it at least, along each side.
_SPARE = 2

# Pillow warns and logs, on lines of its own code, of damage beside the pixels; such a photo is read all the same.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # it has a bound of its own
logging.getLogger("PIL").addHandler(logging.NullHandler())


class Facts(NamedTuple):
    """How a photo lies in its file; none of it keeps the photo from being read.

    Attributes:
        format: one of :data:`FORMATS`, or ``HEIC``.
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
    formats = _with_heic() if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS else FORMATS
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            yield image
    except UnreadablePhoto:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePhoto(f"not one of the formats read here ({', '.join((*FORMATS, 'HEIC'))})") from error
    except Exception as error:
        raise UnreadablePhoto(_reason(error)) from error


@functools.cache
def _with_heic() -> tuple[str, ...]:
    """The one format to open a HEIC as.

    Raises:
        UnreadablePhoto: its decoder is not installed.
    """
    try:
        import pi_heif
    except ImportError as error:
        raise UnreadablePhoto("HEIC is read with an extra: pip install 'vision-ft[heic]'") from error
    # Neither thumbnails nor maps of depth are looked at, and one thread decodes: others decode other photos.
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return ("HEIF",)


def _is_animated(image: Image.Image) -> bool:
    try:
        # Phones put a second, smaller photo behind the first: that is no animation.
        return image.format not in ("MPO", "HEIF") and bool(getattr(image, "is_animated", False))
    except Exception:
        # Its second frame is broken, which nobody is going to look at.
        return False


def load(image: Image.Image) -> Image.Image:
    """Decode an opened image to its last row; the result is as :func:`decode` gives it.

    Raises:
        UnreadablePhoto: as :func:`decode`.
    """
    _check_size(image)
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


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise UnreadablePhoto(f"{image.width} × {image.height} pixels is more than the {MAX_PIXELS:,} allowed")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def decode_part(
    source: str | os.PathLike[str] | bytes, framing: Framing, box_of: Callable[[int, int], Box]
) -> tuple[Image.Image, Box]:
    """Decode a photo for one view of it, no finer than that needs.

    A JPEG is decoded at a half, a quarter or an eighth of its size where the box keeps at least twice as many pixels
    along each side as the view will have: a photo of twelve megapixels takes a fraction of the time and of the memory.
    Where the filter is ``nearest``, which takes single pixels, it is decoded whole.

    Args:
        source: a file's path, or the file's bytes.
        framing: the size of the view.
        box_of: gives the part that is to be seen, of the width and the height of the upright photo.

    Returns:
        The photo as :func:`decode` gives it, perhaps smaller, and the box in its pixels.

    Raises:
        UnreadablePhoto: as :func:`decode`.
    """
    data = source if isinstance(source, bytes) else file_bytes(source)
    with _opened(data) as image:
        _check_size(image)
        is_jpeg = _FORMAT_OF.get(image.format or "", image.format) == "JPEG"
        photo = None if is_jpeg else load(image)
        turn, (across, down) = turn_of(image), image.size
    if photo is not None:
        return photo, box_of(*photo.size)
    width, height = (down, across) if is_sideways(turn) else (across, down)
    # Outside of where every error is one of the photo's: it is the caller's.
    box = box_of(width, height)
    finer = min((box[2] - box[0]) / framing.width, (box[3] - box[1]) / framing.height)
    spare = math.inf if framing.interpolation == "nearest" else _SPARE
    scale = next(scale for scale in (8, 4, 2, 1) if scale == 1 or finer >= spare * scale)
    with _opened(data) as image:
        if scale > 1:
            image.draft(None, (across // scale, down // scale))
        smaller = image.size != (across, down)
        photo = load(image)
    if not smaller:
        return photo, box
    # Where a side is no multiple of the scale, the last row or column in the file sticks out a little.
    right, below = reversed_sides(turn)
    x, y = (photo.width - width / scale) * right, (photo.height - height / scale) * below
    return photo, (box[0] / scale + x, box[1] / scale + y, box[2] / scale + x, box[3] / scale + y)


def read(source: str | os.PathLike[str] | bytes, framing: Framing) -> Pixels:
    """Decode a photo and frame it for a network.

    Returns:
        uint8 array of shape (framing.height, framing.width, 3), RGB.

    Raises:
        UnreadablePhoto: as :func:`decode`.
    """
    photo, box = decode_part(source, framing, framing.box)
    return resize(photo, framing, box)
