from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.harm import HEIC
from vision_ft import imaging
from vision_ft.errors import UnreadablePhoto
from vision_ft.framing import Framing, resize
from vision_ft.imaging import MAX_PIXELS, Facts, decode, examine, looks_like_photo, read

FRAMING = Framing(height=32, width=32, crop=1.0, interpolation="bicubic")


def encoded(image: Image.Image, kind: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def halves(mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Black on the left, white on the right."""
    image = Image.new("L", size, 0)
    image.paste(255, (size[0] // 2, 0, *size))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF") for mode in ("RGB", "L")]
    + [(kind, mode) for kind in ("PNG", "GIF", "BMP", "TIFF") for mode in ("P", "1")],
)
def test_every_format_and_mode_gives_the_same_pixels(kind: str, mode: str) -> None:
    pixels = np.asarray(decode(encoded(halves(mode), kind)))
    assert pixels.shape == (20, 40, 3)
    assert pixels[:, :15].max() < 20
    assert pixels[:, 25:].min() > 235


def test_cmyk_comes_out_as_rgb() -> None:
    pixels = np.asarray(decode(encoded(halves().convert("CMYK"), "JPEG")))
    assert pixels[:, :15].max() < 20
    assert pixels[:, 25:].min() > 235


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    deep = np.zeros((20, 40), np.uint16)
    deep[:, 20:] = 32768
    pixels = np.asarray(decode(encoded(Image.fromarray(deep), "PNG")))
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 39].tolist() == [127, 127, 127]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0)).convert(mode)
    assert np.asarray(decode(encoded(clear, "PNG"))).min() == 255


def test_a_colour_that_stands_for_clear_is_white_too() -> None:
    image = Image.new("RGB", (8, 8), (1, 2, 3))
    assert np.asarray(decode(encoded(image, "PNG", transparency=(1, 2, 3)))).min() == 255


def test_a_path_with_a_zero_byte_is_unreadable() -> None:
    with pytest.raises(UnreadablePhoto, match="null"):
        decode("a\0b.jpg")


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to be upright
    image = decode(encoded(halves(), "JPEG", exif=exif))
    assert image.size == (20, 40)
    pixels = np.asarray(image)
    assert pixels[:15].max() < 20
    assert pixels[25:].min() > 235


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(data))[0, 0].tolist() == [255, 0, 0]


def jpeg(size: int = 64) -> bytes:
    rng = np.random.default_rng(0)
    return encoded(Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)), "JPEG")


def bomb() -> bytes:
    """A header that promises more pixels than are allowed, and almost no bytes."""
    side = int(MAX_PIXELS**0.5) + 2
    data = bytearray(encoded(Image.new("1", (8, 8)), "BMP"))
    data[18:26] = side.to_bytes(4, "little") * 2
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not a picture at all", "formats read here"),
        (jpeg()[:200], ""),
        (jpeg()[: len(jpeg()) // 2], "truncated"),
        (encoded(halves(), "PNG")[:-40], ""),
        (encoded(halves(), "PPM"), "formats read here"),
        (bomb(), "pixels is more than the"),
        (encoded(Image.new("F", (8, 8)), "TIFF"), "floating-point"),
    ],
    ids=["empty", "text", "header", "half", "cut png", "ppm", "bomb", "float"],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePhoto) as caught:
        decode(data)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePhoto, match="No such file"):
        decode(tmp_path / "nothing.jpg")


@pytest.mark.parametrize(
    ("framing", "size", "box"),
    [
        (Framing(100, 100, 1.0, "bicubic"), (200, 100), (50, 0, 150, 100)),
        (Framing(100, 100, 0.5, "bicubic"), (200, 100), (75, 25, 125, 75)),
        (Framing(100, 100, 1.0, "bicubic", resize="squash"), (200, 100), (0, 0, 200, 100)),
        (Framing(100, 200, 1.0, "bicubic"), (100, 100), (0, 25, 100, 75)),
    ],
)
def test_the_box_that_is_kept(framing: Framing, size: tuple[int, int], box: tuple[float, ...]) -> None:
    assert framing.box(*size) == pytest.approx(box)


def test_resizing_is_antialiased() -> None:
    fine = np.zeros((256, 256, 3), np.uint8)
    fine[:, ::2] = 255  # stripes of one pixel: grey when small, black or white when sampled
    pixels = resize(Image.fromarray(fine), FRAMING)
    assert pixels.shape == (32, 32, 3)
    assert abs(pixels[4:-4, 4:-4].astype(int) - 127).max() < 4


def test_one_row_of_pixels_can_be_framed() -> None:
    assert read(encoded(Image.new("RGB", (300, 1), "red"), "PNG"), FRAMING).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("name", "is_photo"),
    [("a.jpg", True), ("A.JPEG", True), ("b.tiff", True), (".a.jpg", False), ("Thumbs.db", False), ("a", False)],
)
def test_photos_are_known_by_their_names(name: str, is_photo: bool) -> None:
    assert looks_like_photo(Path(name)) is is_photo


def facts_of(image: Image.Image, kind: str, **settings: Any) -> Facts:
    return examine(encoded(image, kind, **settings))[1]


def test_plain_photos_have_nothing_to_tell() -> None:
    photo = Image.new("RGB", (9, 7), "red")
    assert facts_of(photo, "JPEG") == Facts("JPEG", "RGB", False, False, False, False)
    assert facts_of(photo.convert("RGBA"), "PNG") == Facts("PNG", "RGBA", False, False, False, False)


@pytest.mark.parametrize(
    ("kind", "settings", "animated"),
    [("GIF", {"save_all": True}, True), ("WEBP", {"save_all": True}, True), ("PNG", {"save_all": True}, True),
     ("MPO", {"save_all": True}, False), ("GIF", {}, False)],
)  # fmt: skip
def test_animations_and_what_only_looks_like_one(kind: str, settings: dict[str, Any], animated: bool) -> None:
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "blue")]
    facts = facts_of(frames[0], kind, **settings, **({"append_images": frames[1:]} if settings else {}))
    assert facts.animated == animated
    assert facts.format == ("JPEG" if kind == "MPO" else kind)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_in_grey_and_in_colour(kind: str) -> None:
    assert facts_of(Image.fromarray(np.full((7, 9), 40_000, np.uint16)), kind).deep
    colour = cv2.imencode(f".{kind.lower()}", np.full((7, 9, 3), 40_000, np.uint16))[1].tobytes()
    photo, facts = examine(colour)
    assert facts.deep
    assert np.asarray(photo)[0, 0].tolist() == [156] * 3


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_undone_as_pillow_does(turn: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    photo, facts = examine(data)
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(photo) == np.asarray(ImageOps.exif_transpose(image))).all()
    assert facts.turned == (turn != 1)


def test_transparency_is_what_can_be_seen_through() -> None:
    clear = Image.new("RGBA", (9, 600), "red")
    assert not facts_of(clear, "PNG").transparent
    clear.putpixel((3, 599), (0, 0, 0, 254))
    assert facts_of(clear, "PNG").transparent
    palette = Image.new("P", (9, 7))
    assert facts_of(palette, "PNG", transparency=0).transparent


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, reason in ((tmp_path / "pipe.jpg", "a device or a pipe"), (tmp_path, "Is a directory")):
        with pytest.raises(UnreadablePhoto, match=reason):
            decode(path)


def test_a_heic_is_read_with_its_extra() -> None:
    pytest.importorskip("pi_heif")
    photo, facts = imaging.examine(HEIC)
    assert (photo.mode, photo.size) == ("RGB", (96, 64))
    for at, colour in (((10, 10), (255, 0, 0)), ((90, 60), (0, 128, 128))):
        assert np.abs(np.array(photo.getpixel(at)) - colour).max() < 8
    assert facts.format == "HEIC"
    assert facts[2:5] == (False, False, False)


def test_a_heic_beyond_the_bounds_is_refused_by_its_header() -> None:
    pytest.importorskip("pi_heif")
    at = HEIC.index(b"ispe") + 8
    with pytest.raises(UnreadablePhoto, match="more than"):
        decode(HEIC[:at] + (9_000).to_bytes(4, "big") * 2 + HEIC[at + 8 :])


def test_without_its_extra_a_heic_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    imaging._with_heic.cache_clear()
    with pytest.raises(UnreadablePhoto, match=r"pip install 'vision-ft\[heic\]'"):
        decode(HEIC)
    imaging._with_heic.cache_clear()
