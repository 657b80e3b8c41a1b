"""Photos that are decoded no finer than a view of them needs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vision_ft.errors import UnreadablePhoto
from vision_ft.framing import Box, Framing, resize
from vision_ft.imaging import decode, decode_part, read
from vision_ft.supply.faces import draw_face

SQUARE = Framing(height=64, width=64, crop=0.875, interpolation="bicubic")
WIDE = Framing(height=48, width=96, crop=1.0, interpolation="bicubic", resize="squash")


def photo(width: int, height: int, turn: int = 1, **settings: object) -> bytes:
    """A drawn face of that size, as it lies in the file."""
    image = draw_face("cat", np.random.default_rng(0), 256).resize((width, height), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = turn
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, exif=exif, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("width", "height", "framing", "scale"),
    [
        (250, 200, SQUARE, 1),
        (293, 293, SQUARE, 2),
        (292, 292, SQUARE, 1),
        (800, 600, SQUARE, 4),
        (1999, 1333, SQUARE, 8),
        (1667, 900, WIDE, 8),
        (1667, 500, WIDE, 4),
    ],
)  # fmt: skip
def test_a_view_is_nearly_what_it_would_be_of_the_whole(
    width: int, height: int, framing: Framing, scale: int, turn: int
) -> None:
    sideways = turn > 4
    # Sizes are of the upright photo.
    data = photo(height, width, turn) if sideways else photo(width, height, turn)
    found, box = decode_part(data, framing, framing.box)
    assert found.size == (-(-width // scale), -(-height // scale))
    ours, whole = resize(found, framing, box).astype(int), resize(decode(data), framing).astype(int)
    assert np.array_equal(read(data, framing), ours)
    if scale == 1:
        assert np.array_equal(ours, whole)
    # Of 255; a box that is off by a pixel of the view would be off by more than ten.
    assert np.abs(ours - whole).mean() < 1.0


def test_a_box_to_one_side_stays_there() -> None:
    data = photo(1600, 1200, 6)
    part: Box = (600.0, 100.0, 1160.0, 900.0)
    found, box = decode_part(data, SQUARE, lambda width, height: part)
    assert found.size == (300, 400)
    assert box == tuple(edge / 4 for edge in part)
    ours, whole = resize(found, SQUARE, box).astype(int), resize(decode(data), SQUARE, part).astype(int)
    assert np.abs(ours - whole).mean() < 1.0


@pytest.mark.parametrize("settings", [{"progressive": True}, {"subsampling": 0}, {"subsampling": 2}])
def test_every_kind_of_jpeg(settings: dict[str, object]) -> None:
    data = photo(900, 900, **settings)
    assert np.abs(read(data, SQUARE).astype(int) - resize(decode(data), SQUARE).astype(int)).mean() < 1.0


@pytest.mark.parametrize("turn", [1, 3, 6, 7])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_other_formats_are_decoded_whole(kind: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    settings = {} if kind in ("BMP", "GIF") else {"exif": exif}
    for size in ((1024, 300), (110, 100)):
        buffer = io.BytesIO()
        draw_face("dog", np.random.default_rng(0), 256).resize(size).save(buffer, kind, **settings)
        data = buffer.getvalue()
        assert np.array_equal(read(data, SQUARE), resize(decode(data), SQUARE))


def test_single_pixels_are_taken_from_the_whole_photo() -> None:
    nearest = Framing(height=64, width=64, crop=0.875, interpolation="nearest")
    assert np.array_equal(read(photo(800, 800), nearest), resize(decode(photo(800, 800)), nearest))


def test_an_error_of_whoever_asks_is_no_error_of_the_photo() -> None:
    def wrong(width: int, height: int) -> Box:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        decode_part(photo(800, 600), SQUARE, wrong)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_modes(mode: str) -> None:
    buffer = io.BytesIO()
    draw_face("dog", np.random.default_rng(0), 1024).convert(mode).save(buffer, "JPEG")
    data = buffer.getvalue()
    assert np.abs(read(data, SQUARE).astype(int) - resize(decode(data), SQUARE).astype(int)).mean() < 1.5


def test_half_a_file_is_refused_also_where_little_of_it_is_needed() -> None:
    data = photo(2000, 2000)
    with pytest.raises(UnreadablePhoto):
        read(data[: len(data) // 2], SQUARE)


def test_too_many_pixels_are_refused_before_they_are_made_fewer() -> None:
    with pytest.raises(UnreadablePhoto, match="more than the"):
        read(photo(9000, 8000), SQUARE)
