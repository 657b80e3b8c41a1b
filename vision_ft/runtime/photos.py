"""What a photo may be given as, and how it becomes pixels."""

from __future__ import annotations

import os
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from vision_ft.errors import UnreadablePhoto
from vision_ft.framing import Framing, Pixels, resize
from vision_ft.imaging import load, read


class Named(NamedTuple):
    """A photo that lies in no file of its own, as one in an archive.

    Attributes:
        path: what its prediction is called.
        content: an encoded file's bytes, or why there are none.
    """

    path: str
    content: bytes | str


# A path, an encoded file's bytes, those with a name, a Pillow image, or RGB uint8 pixels of shape (height, width, 3).
Photo: TypeAlias = str | os.PathLike[str] | bytes | Named | Image.Image | Pixels


def path_of(photo: Photo) -> str | None:
    """The photo's path, or ``None`` where it has none."""
    if isinstance(photo, Named):
        return photo.path
    return os.fspath(photo) if isinstance(photo, (str, os.PathLike)) else None


def framed(photo: Photo, framing: Framing) -> Pixels | str:
    """The photo's pixels, uint8 (framing.height, framing.width, 3); or the reason why there are none."""
    try:
        if isinstance(photo, Named):
            photo = photo.content
            return photo if isinstance(photo, str) else read(photo, framing)
        if isinstance(photo, (Image.Image, np.ndarray)):
            return resize(_as_image(photo), framing)
        return read(photo, framing)
    except UnreadablePhoto as error:
        return str(error)


def _as_image(photo: Image.Image | Pixels) -> Image.Image:
    if isinstance(photo, Image.Image):
        return load(photo)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise UnreadablePhoto(f"an array must be uint8 of shape (height, width, 3), not {photo.dtype} {photo.shape}")
    return Image.fromarray(photo)
