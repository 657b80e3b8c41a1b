"""What lies in an archive that nobody here made: each entry with its name, and why it must not be used, if so.

What an archive says of its sizes is not believed: it is read in small pieces, and no further than its limits.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from rich.filesize import decimal

from vision_ft.errors import UnreadableArchive

# How the names of the archives end that are looked into.
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

_CHUNK = 1 << 16
_DEPTH = 32
# A header in a tar; and the table of a zip, which is held as long as the zip is read: some 400,000 entries.
_HEADER = 1 << 20
_TABLE = 32 << 20
_END = 1 << 17


@dataclass(frozen=True)
class Limits:
    """What an archive may hold; far above every data set in the table.

    Attributes:
        entries: files and folders.
        member: bytes of one file.
        total: bytes of all files.
    """

    entries: int = 200_000
    member: int = 1 << 30
    total: int = 8 << 30


@dataclass(frozen=True)
class Member:
    """An entry of an archive.

    Attributes:
        name: as it stands in the archive.
        is_folder: or else a file.
        fault: why it must not be used; ``None`` if nothing speaks against it.
        at: how far in the archive it begins, in bytes.
        open: gives its content; to be called before the next entry is asked for.
    """

    name: str
    is_folder: bool
    fault: str | None
    at: int
    open: Callable[[], IO[bytes]]


def members(archive: Path, limits: Limits) -> Iterator[Member]:
    """The entries of a ``.tar``, ``.tar.gz`` or ``.zip``, one after the other; to be used under :func:`named_faults`.

    A tar is read from its beginning to its end, and nothing of what was passed is held.

    Raises:
        UnreadableArchive: it is neither, or holds more than the limits allow.
    """
    name = archive.name.lower()
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return _tar_members(archive, limits, packed=not name.endswith(".tar"))
    if name.endswith(".zip"):
        return _zip_members(archive)
    raise UnreadableArchive("it is neither a .tar, a .tar.gz nor a .zip")


@contextmanager
def named_faults() -> Iterator[None]:
    """Turn what the libraries say of a broken archive into :class:`UnreadableArchive`."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, struct.error) as error:
        raise UnreadableArchive(f"it is damaged ({error})") from error
    except (ValueError, RuntimeError, LookupError, ArithmeticError) as error:
        # How the libraries of Python answer to headers that make no sense, or that they do not know.
        raise UnreadableArchive(f"it cannot be read ({error})") from error


def parts_below(name: str) -> tuple[str, ...] | str:
    """The parts of a path below a folder, or why it is none."""
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is an absolute path"
    if "\\" in name or not name.isprintable():
        return "has a backslash or a control character in its name"
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        return "would land outside of the folder"
    return parts if len(parts) <= _DEPTH else "lies too deep"


def _tar_members(archive: Path, limits: Limits, *, packed: bool) -> Iterator[Member]:
    # Besides the files: their headers, and what fills up the last block of each and of the tar.
    end = limits.total + limits.entries * 4096 + (1 << 16)
    with ExitStack() as opened:
        file = opened.enter_context(archive.open("rb"))
        stream = cast("IO[bytes]", opened.enter_context(gzip.open(file)) if packed else file)
        bounded = _Bounded(stream, "a header in it", _HEADER, end)
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            while (info := tar.next()) is not None:
                # It would hold on to every entry that was passed.
                tar.members.clear()  # type: ignore[attr-defined]
                # A sparse file is stored small and comes out as large as its header says.
                plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.issparse()
                fault = None if plain or info.isdir() else "is a link, a device or the like"
                yield Member(info.name, info.isdir(), fault, file.tell(), partial(_opened, tar, info))
            # The checksum of a gzip stands at its end, behind all that a tar needs.
            while packed and bounded.read(_CHUNK):
                pass


def _opened(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    source = tar.extractfile(info)
    if source is None:
        raise tarfile.ExtractError(f"{info.name!r} has no content")
    return source


class _Bounded(io.RawIOBase):
    """What an archive is read through: the libraries read as much at once as a header tells them to."""

    def __init__(self, stream: IO[bytes], what: str, most: int, end: float) -> None:
        self._stream, self._what, self._most, self._end = stream, what, most, end

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise UnreadableArchive(f"{self._what} is {decimal(size)} long")
        # Without a size all that is left is meant: the end of a zip, 22 bytes and a comment of up to 64 KB.
        content = self._stream.read(size if size >= 0 else _END)
        self._check(self._stream.tell())
        return content

    def seek(self, position: int, whence: int = 0) -> int:
        if not whence:
            self._check(position)
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def _check(self, position: int) -> None:
        if position > self._end:
            raise UnreadableArchive("it unpacks to too much")


def _zip_members(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as file, zipfile.ZipFile(_Bounded(file, "its table", _TABLE, math.inf)) as packed:
        for info in packed.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            fault = None
            if info.flag_bits & 0x1:
                fault = "is encrypted"
            elif mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                fault = "is a link, a device or the like"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # The others are unpacked at once, however much comes out.
                fault = "is packed by a method that is not read here"
            # The name as it stands in the file; the other one has been mended for this system.
            name, at = info.orig_filename, info.header_offset
            yield Member(name, info.is_dir(), fault, at, partial(packed.open, info))
