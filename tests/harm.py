"""Photos in every format that is read, and the same files harmed by chance."""

from __future__ import annotations

import base64
import io
import random
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image

KINDS = ("jpeg", "progressive", "mpo", "png", "apng", "webp", "webp-animated", "gif", "gif-animated", "bmp", "tiff")


# Nothing here writes HEIC: 96 × 64 pixels, the left half red and the right one teal.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAE8AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xy"
    "bmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAAFdt"
    "ZGF0AAAASygBrxOAecKTVEf//rxg7/5bBn/zQMlkKoL5f0++Zxb/4l9p3TY0wAyF7G8qo2AxZpTZQh19nCasrSTYGwMDMTWHa5Qv"
    "I/FI2DHuwA=="
)


def saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def originals(kind: str, photos: Sequence[Image.Image]) -> list[bytes]:
    """The photos as sound files of one of the :data:`KINDS`, in the several ways in which it can be written."""
    first = photos[0]
    several: dict[str, Any] = {"save_all": True, "append_images": [photo.resize(first.size) for photo in photos[1:]]}
    turned = Image.Exif()
    turned[0x0112] = 6
    turned[0x010F] = "a maker of cameras"
    clear = first.convert("RGBA")
    clear.putalpha(first.convert("L"))
    few = first.convert("P", palette=Image.Palette.ADAPTIVE)
    deep = first.convert("L").convert("I;16")
    match kind:
        case "jpeg":
            plain = [saved(photo, "JPEG", exif=turned) for photo in photos]
            return [*plain, saved(first.convert("L"), "JPEG"), saved(first.convert("CMYK"), "JPEG", quality=95)]
        case "progressive":
            return [saved(photo, "JPEG", progressive=True, optimize=True) for photo in photos]
        case "mpo":
            return [saved(first, "MPO", **several)]
        case "png":
            several_modes = [saved(clear, "PNG"), saved(few, "PNG", transparency=3), saved(deep, "PNG")]
            # Harm to what is not compressed is no end of the reading.
            loose = [saved(photo, "PNG", compress_level=0, exif=turned) for photo in (*photos, clear, deep)]
            return [*(saved(photo, "PNG") for photo in photos), *several_modes, *loose]
        case "apng":
            return [saved(first, "PNG", **several), saved(first, "PNG", default_image=True, **several)]
        case "webp":
            plain = [saved(photo, "WEBP", exif=turned) for photo in photos]
            return [*plain, saved(clear, "WEBP"), saved(first, "WEBP", lossless=True)]
        case "webp-animated":
            return [saved(first, "WEBP", **several)]
        case "gif":
            return [*(saved(photo, "GIF") for photo in photos), saved(few, "GIF", transparency=3, interlace=0)]
        case "gif-animated":
            return [saved(first, "GIF", duration=[10 * (n + 1) for n in range(len(photos))], **several)]
        case "bmp":
            return [saved(photo, "BMP") for photo in (*photos, few, first.convert("1"), clear)]
        case "tiff":
            packed = [saved(first, "TIFF", compression=name) for name in ("jpeg", "tiff_lzw", "tiff_deflate")]
            bilevel = saved(first.convert("1"), "TIFF", compression="group4")
            return [saved(first, "TIFF"), *packed, bilevel, saved(deep, "TIFF", compression="packbits"), packed[0]]
        case _:
            raise ValueError(kind)


def harmed(sound: Sequence[bytes], seed: int, kind: str, number: int) -> bytes:
    """One of the sound files with some of its bytes flipped, cut, repeated and so on; the same for the same numbers."""
    chance = random.Random(f"{seed} {kind} {number}")
    data = bytearray(chance.choice(sound))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 8))):
        _harm(data, chance)
    # A wrong checksum ends the reading of a PNG; half of them get right ones, and the harm goes deeper.
    return _with_checksums(bytes(data)) if kind.endswith("png") and chance.random() < 0.5 else bytes(data)


def _harm(data: bytearray, chance: random.Random) -> None:
    if len(data) < 16:
        return
    # A header is a few hundred bytes of many thousands, and where most is decided.
    at = chance.randrange(min(len(data), 600) if chance.random() < 0.5 else len(data))
    some = slice(at, at + int(2 ** chance.uniform(0, 10)))
    match chance.choice(("flip", "flip", "set", "set", "cut", "end", "repeat", "insert", "zero", "swap")):
        case "flip":
            data[at] ^= 1 << chance.randrange(8)
        case "set":
            wide = chance.choice((1, 2, 4))
            data[at : at + wide] = chance.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xff")) * wide
        case "cut":
            del data[some]
        case "end":
            del data[at:]
        case "repeat":
            data[at:at] = data[some] * chance.choice((1, 2, 50))
        case "insert":
            data[at:at] = chance.randbytes(chance.randrange(1, 64))
        case "zero":
            data[some] = bytes(len(data[some]))
        case "swap":
            to = chance.randrange(len(data))
            other = slice(to, to + len(data[some]))
            data[some], data[other] = data[other], data[some]


def _with_checksums(png: bytes) -> bytes:
    chunks, at = [], 8  # each its name and what it holds
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            break
        chunks.append(png[at + 4 : end])
        at = end + 4
    places = [place for place, chunk in enumerate(chunks) if chunk.startswith(b"IDAT")]
    try:
        pixels = zlib.decompressobj(-15).decompress(b"".join(chunks[place][4:] for place in places)[2:], 1 << 24)
        chunks[places[-1]] = chunks[places[-1]][:-4] + zlib.adler32(pixels).to_bytes(4, "big")
    except (zlib.error, IndexError):
        pass  # beyond mending
    whole = [(len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") for chunk in chunks]
    return png[:8] + b"".join(whole) + png[at:]
