"""Files that no camera wrote: small, and made to cost whoever reads them much time or memory."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from typing import TypeAlias

from PIL import Image

from tests.harm import saved
from vision_ft.imaging import MAX_PIXELS

# The side of the largest square that is read.
SIDE = math.isqrt(MAX_PIXELS)
BEYOND = 60_000


def deflated(block: bytes, times: int) -> bytes:
    """The zlib stream of a block over and over, made without compressing it more than once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 1
    for _ in range(times):
        check = zlib.adler32(block, check)
    return b"\x78\xda" + packed * times + packer.flush() + check.to_bytes(4, "big")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    side: int, depth: int, colour: int, *, pixels: bytes | None = None, extra: bytes = b"", interlaced: bool = False
) -> bytes:
    """A black PNG, each line predicted in the way that is slowest to undo."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if interlaced:
        pixels = deflated(bytes(1 << 20), (side * bits // 8 + 8) * side // (1 << 20) + 1)
    elif pixels is None:
        pixels = deflated(b"\4" + bytes((side * bits + 7) // 8), side)
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, interlaced)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


Entry: TypeAlias = tuple[int, int, int, int]


def exif(entries: list[Entry], tail: bytes = b"", following: int = 0) -> bytes:
    """A TIFF structure of one directory; its entries are tag, type, count and value, and the tail comes after it."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", following) + tail


def tiff(
    wide: int, high: int, entries: list[Entry], tail: bytes, samples: int = 1, depth: int = 8, colours: int = 1
) -> bytes:
    """A TIFF; the given entries say how and where the pixels are, 0 standing for the start of the tail."""
    known = [(256, 4, 1, wide), (257, 4, 1, high), (258, 3, 1, depth), (262, 3, 1, colours), (277, 3, 1, samples)]
    start = 8 + 2 + 12 * (len(known) + len(entries)) + 4
    placed = [(tag, kind, count, value or start) for tag, kind, count, value in entries]
    return exif(known + placed, tail)


def one_strip(samples: int, depth: int, colours: int) -> bytes:
    """A TIFF of the largest size, all of it in one piece."""
    packed = deflated(bytes(SIDE * samples * depth // 8), SIDE)
    places: list[Entry] = [(259, 3, 1, 8), (273, 4, 1, 0), (278, 4, 1, SIDE), (279, 4, 1, len(packed))]
    extra: list[Entry] = [(338, 3, 1, 2)] if samples == 4 else []
    return tiff(SIDE, SIDE, places + extra, packed, samples, depth, colours)


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(data)) + data


def jpeg(extra: bytes = b"", **settings: object) -> bytes:
    data = saved(Image.new("RGB", (256, 256), "teal"), "JPEG", **settings)
    return data[:2] + extra + data[2:]


def resized_jpeg(side: int, mode: str, *, progressive: bool) -> bytes:
    """A header that promises a size, and the pixels of 64 × 64."""
    data = bytearray(saved(Image.new(mode, (64, 64)), "JPEG", progressive=progressive))
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(data)


def many_scans(side: int, scans: int) -> bytes:
    """A grey progressive JPEG: each scan looks at all coefficients once more and says in a few bytes: no change."""
    runs = -(-(((side + 7) // 8) ** 2) // 32767)  # the longest run of blocks without change
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0))
    codes = segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0")
    return b"\xff\xd8" + frame + codes + (segment(0xDA, bytes((1, 1, 0, 1, 63, 0x10))) + scan) * scans + b"\xff\xd9"


def riff(data: bytes) -> bytes:
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def webp(side: int, *, clear: bool) -> bytes:
    """A lossless WebP of one colour: codes of one symbol each, and so no bit for any pixel."""
    bits = (side - 1) | (side - 1) << 14 | clear << 28
    at = 32 + 3  # no transform, no cache of colours, no groups of codes
    for symbol in (9, 9, 9, 99, 0):  # green, red, blue, alpha, distance
        bits |= (0b101 | symbol << 3) << at
        at += 11
    body = b"\x2f" + bits.to_bytes((at + 15) // 16 * 2 + 1, "little")
    return riff(b"RIFF\0\0\0\0WEBPVP8L" + struct.pack("<I", len(body)) + body)


def animated_webp(frames: int = 2, canvas: int = 64) -> bytes:
    data = saved(Image.new("RGB", (64, 64)), "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 64), "red")])
    at = data.index(b"ANMF")
    frame = data[at : at + 8 + struct.unpack_from("<I", data, at + 4)[0]]
    whole = bytearray(data[:at] + frame * frames)
    whole[24:30] = (canvas - 1).to_bytes(3, "little") * 2
    return riff(bytes(whole))


def gif(extra: bytes = b"", screen: int = 64, frame: int = 64) -> bytes:
    data = bytearray(saved(Image.new("P", (64, 64)), "GIF"))
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)  # after the header and the table of colours
    data[6:10] = struct.pack("<HH", screen, screen)
    data[at + 5 : at + 9] = struct.pack("<HH", frame, frame)
    return bytes(data[:at] + extra + data[at:])


def bmp(side: int, body: bytes = b"", compression: int = 1) -> bytes:
    start = 54 + 1024
    head = struct.pack("<IHHI", start + len(body), 0, 0, start)
    return (
        b"BM"
        + head
        + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, compression, 0, 0, 0, 256, 0)
        + bytes(1024)
        + body
    )


def text(name: bytes, start: bytes, plain: int, times: int = 1) -> bytes:
    packed = deflated(bytes(100_000), plain // 100_000)
    return png(64, 8, 2, extra=chunk(name, start + packed) * times)


def many_strips(strips: int, high: int) -> bytes:
    return tiff(1, high, [(259, 3, 1, 1), (278, 4, 1, 1), (273, 4, strips, 0), (279, 3, strips, 0)], bytes(4 * strips))


def big_tile(tile: int) -> bytes:
    packed = deflated(bytes(tile), tile)
    places = [(259, 3, 1, 8), (322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, 0), (325, 4, 1, len(packed))]
    return tiff(10, 10, places, packed)


TURNED = (0x0112, 3, 1, 6)
LOOP = exif([TURNED, (0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)], following=8)
OVERLAP = exif([TURNED, *((tag, 7, 60_000, 8) for tag in range(0x200, 0x1600))])
RATIONALS = exif([TURNED, (0x300, 5, 999_000, 100)], bytes(8_000_000))
EXIF = b"Exif\0\0"

# How each file is made. These are to be read, or refused, as quickly as any photo.
HOSTILE: dict[str, Callable[[], bytes]] = {
    # More than is read: refused from the header.
    "png beyond": lambda: png(BEYOND, 8, 2, pixels=b""),
    "jpeg beyond": lambda: resized_jpeg(BEYOND, "RGB", progressive=False),
    "webp beyond": lambda: animated_webp(canvas=1 << 24),
    "webp lossless beyond": lambda: webp(1 << 14, clear=True),
    "gif beyond": lambda: gif(screen=BEYOND),
    "gif frame beyond its screen": lambda: gif(frame=65_535),
    "bmp beyond": lambda: bmp(BEYOND),
    "bmp of negative size": lambda: bmp(-BEYOND),
    "tiff beyond": lambda: tiff(BEYOND, BEYOND, [(259, 3, 1, 1), (273, 4, 1, 0), (279, 4, 1, 9)], bytes(9)),
    # Small pictures that would be dear to read.
    "png text bomb": lambda: text(b"zTXt", b"Raw profile type exif\0\0", 200_000_000),
    "png international text bomb": lambda: text(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0", 200_000_000),
    "png profile bomb": lambda: text(b"iCCP", b"k\0\0", 200_000_000),
    "png 1,000 texts": lambda: text(b"zTXt", b"k\0\0", 1_000_000, times=1000),
    "png more pixels than promised": lambda: png(64, 8, 2, pixels=deflated(bytes(1 << 20), 500)),
    "png 100,000 chunks": lambda: png(64, 8, 2, extra=chunk(b"abCd", b"") * 100_000),
    "png endless chunk": lambda: png(64, 8, 2)[:33] + b"\xff\xff\xff\xfftEXt" + bytes(99),
    "png of 2 ** 32 frames": lambda: png(64, 8, 2, extra=chunk(b"acTL", b"\xff" * 8)),
    "png exif loop": lambda: png(64, 8, 2, extra=chunk(b"eXIf", LOOP)),
    "png exif of a million fractions": lambda: png(64, 8, 2, extra=chunk(b"eXIf", RATIONALS)),
    "gif 100,000 frames": lambda: gif(gif()[gif().rindex(b",\0\0\0\0") : -1] * 100_000),
    "gif 100,000 comments": lambda: gif(b"!\xfe\1a\0" * 100_000),
    "gif endless comment": lambda: gif(b"!\xfe" + (b"\xff" + b"a" * 255) * 10_000),
    "gif junk before the frame": lambda: gif(bytes(2_000_000)),
    "webp 3,000 frames": lambda: animated_webp(3000),
    "tiff directory loop": lambda: tiff(9, 9, [(259, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 81)], b"") + LOOP,
    "tiff directory that follows itself": lambda: LOOP + bytes(100),
    "tiff overlapping tags": lambda: OVERLAP + bytes(60_000),
    "tiff tile larger than the picture": lambda: big_tile(30_000),
    "tiff a million strips": lambda: many_strips(1_000_000, 10),
    "tiff 65,535 samples a pixel": lambda: tiff(
        9, 9, [(259, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 81)], b"", samples=65_535
    ),
    "jpeg 500 scans": lambda: many_scans(4096, 500),
    "jpeg 10,000 scans of a small picture": lambda: many_scans(256, 10_000),
    "jpeg exif loop": lambda: jpeg(segment(0xE1, EXIF + LOOP)),
    "jpeg exif overlap": lambda: jpeg(segment(0xE1, EXIF + OVERLAP[:65_000])),
    "jpeg 100 exif segments of 60 KB": lambda: jpeg(segment(0xE1, EXIF + bytes(60_000)) * 100),
    "jpeg 300,000 exif segments": lambda: jpeg(segment(0xE1, EXIF + b"II") * 300_000),
    "jpeg 100,000 comments": lambda: jpeg(segment(0xFE, b"") * 100_000),
    "jpeg broken index of pictures": lambda: jpeg(segment(0xE2, b"MPF\0" + OVERLAP[:1000])),
    "jpeg fill bytes": lambda: jpeg(b"\xff" * 1_000_000),
}

# As many pixels as are read, from as few bytes as will do.
LARGEST: dict[str, Callable[[], bytes]] = {
    "png zip bomb 10,000 × 10,000": lambda: png(10_000, 8, 2),
    "png largest, 16 bits clear": lambda: png(SIDE, 16, 6),
    "png largest, 16 bits grey": lambda: png(SIDE, 16, 0),
    "png largest, turned": lambda: png(SIDE, 8, 4, extra=chunk(b"eXIf", exif([TURNED]))),
    "png largest, interlaced": lambda: png(SIDE, 8, 2, interlaced=True),
    "jpeg largest": lambda: resized_jpeg(SIDE, "RGB", progressive=False),
    "jpeg largest, progressive cmyk": lambda: resized_jpeg(SIDE, "CMYK", progressive=True),
    "webp largest, clear": lambda: webp(SIDE, clear=True),
    "webp largest canvas": lambda: animated_webp(canvas=SIDE),
    "gif largest": lambda: saved(Image.new("P", (SIDE, SIDE)), "GIF", transparency=0),
    "bmp largest": lambda: bmp(SIDE, b"\0\2\xff\xff" * (SIDE * SIDE // 255 // 255 + SIDE)),
    "tiff largest, clear, 16 bits, in one strip": lambda: one_strip(4, 16, 2),
    "tiff largest, lab, in one strip": lambda: one_strip(3, 8, 8),
    "jpeg scan bomb, 100 scans of the largest": lambda: many_scans(SIDE, 100),
}
