"""What the pages have in common: one HTML file each, with everything in it."""

from __future__ import annotations

import base64
import io

import jinja2
from PIL import Image

_QUALITY = 72


def environment(package: str) -> jinja2.Environment:
    """Templates of a package; ``{% include "style.css" %}`` in one of them is the common style."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, "."), jinja2.PackageLoader("vision_ft.pages", ".")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def jpeg_url(photo: Image.Image, quality: int = _QUALITY) -> str:
    """A picture as an address with the picture in it."""
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return data_url("jpeg", buffer.getvalue())


def data_url(kind: str, data: bytes) -> str:
    """An image file as an address."""
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()
