"""What a file asks of whoever reads it, seen in its bytes before time and memory go into it.

A few bytes can ask for much: a JPEG may pass over its pixels thousands of times, and a TIFF may cut ten rows into a
million strips. Pillow bounds neither.
"""

from __future__ import annotations

import re
import struct

from vision_ft.errors import UnreadablePhoto

# 8192 × 8192, more than a camera of 61 megapixels gives; reading so many takes up to 1.1 GB.
MAX_PIXELS = 2**26
# More than so many pixels take without compression.
MAX_BYTES = 2**28
# Encoders write 10 scans, 18 for CMYK; smaller photos may have more, up to the same work.
_SCANS_OF_THE_LARGEST = 20
# Segments of a JPEG before its pixels, and strips or tiles of a TIFF; each costs microseconds.
_SEGMENTS = 4096
_PIECES = 2**16

# What starts a part of a JPEG; inside a scan 0xFF is followed by 0 or a restart.
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PIECES_TAGS = frozenset({273, 279, 324, 325})
_TILE_SIDES = frozenset({322, 323})


def check(data: bytes) -> None:
    """Refuse bytes whose reading would take time or memory out of proportion.

    Raises:
        UnreadablePhoto: with the reason.
    """
    if len(data) > MAX_BYTES:
        raise UnreadablePhoto(f"{len(data):,} bytes are more than the {MAX_BYTES:,} allowed")
    try:
        if data.startswith(b"\xff\xd8"):
            _check_jpeg(data)
        elif data[:2] in (b"II", b"MM"):
            _check_tiff(data, "<" if data.startswith(b"II") else ">")
    except (struct.error, IndexError):
        return  # broken, as whoever reads it will say


def _check_jpeg(data: bytes) -> None:
    many_scans = data.count(b"\xff\xda") > _SCANS_OF_THE_LARGEST
    at, segments, scans, pixels = 2, 0, 0, 0
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == 0xD9 or (marker == 0xDA and not many_scans):
            return
        segments += 1
        scans += marker == 0xDA
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            pixels = max(pixels, width * height)
        if segments - scans > _SEGMENTS:
            raise UnreadablePhoto(f"it has more than {_SEGMENTS:,} segments before its pixels")
        if scans * pixels > _SCANS_OF_THE_LARGEST * MAX_PIXELS:
            raise UnreadablePhoto(f"it passes over its pixels more than {scans - 1} times")
        at += struct.unpack_from(">H", data, at)[0]


def _check_tiff(data: bytes, order: str) -> None:
    big = 43 in data[2:4]
    start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, start)[0]
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    at, tile = start + (8 if big else 2), 1
    for _ in range(count):
        tag, kind, values, value = entry.unpack_from(data, at)
        at += entry.size
        if tag in _PIECES_TAGS and values > _PIECES:
            raise UnreadablePhoto(f"it is cut into {values:,} pieces, more than the {_PIECES:,} allowed")
        if tag in _TILE_SIDES:
            wide = 8 * (entry.size - 12 if big else 4)
            tile *= value >> (wide - 16) if kind == 3 and order == ">" else value
    if tile > MAX_PIXELS:
        raise UnreadablePhoto(f"it is cut into tiles of {tile:,} pixels, more than the {MAX_PIXELS:,} allowed")
