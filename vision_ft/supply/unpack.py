"""Unpacking an archive that nobody here made: only plain files and folders, only below one folder, only so much."""

from __future__ import annotations

import errno
import gzip
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from rich.filesize import decimal

from vision_ft.errors import DataError

_CHUNK = 1 << 16
_DEPTH = 32
# The path itself is what the system objects to.
_BAD_PATH = frozenset(
    {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP}
)


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to; far above every data set in the table.

    Attributes:
        entries: files and folders.
        member: bytes of one file.
        total: bytes of all files.
    """

    entries: int = 200_000
    member: int = 1 << 30
    total: int = 8 << 30


@dataclass(frozen=True)
class _Member:
    """An entry of an archive, with how far in the archive it begins, and why it must not be unpacked, if so."""

    name: str
    is_folder: bool
    fault: str | None
    at: int
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path, folder: Path, *, limits: Limits | None = None, progress: Callable[[int, int], None] | None = None
) -> int:
    """Unpack a ``.tar.gz`` or ``.zip``; modes, owners and times of the archive are not taken over.

    Bytes are counted as they are written: what an archive says of its sizes is not believed.

    Args:
        archive: the file.
        folder: where to; the caller removes it if this fails.
        limits: how much may come out.
        progress: told how many of the archive's bytes are done, and how many there are.

    Returns:
        The number of files.

    Raises:
        DataError: the archive is damaged, holds more than the limits allow, or holds something that is no plain file
            or folder below ``folder``.
        OSError: the files cannot be written; the disk may be full.
    """
    limits = Limits() if limits is None else limits
    size, files, written = archive.stat().st_size, 0, 0
    try:
        for count, member in enumerate(_members(archive, limits), 1):
            if count > limits.entries:
                raise _refused(archive, f"it holds more than {limits.entries:,} files")
            parts = _parts(member.name)
            if (fault := member.fault or (parts if isinstance(parts, str) else None)) is not None:
                raise _refused(archive, f"{member.name!r} in it {fault}")
            path = folder.joinpath(*parts)
            if member.is_folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            allowed = min(limits.member, limits.total - written)
            with member.open() as source, path.open("xb") as target:
                while chunk := source.read(_CHUNK):
                    allowed -= len(chunk)
                    if allowed < 0:
                        raise _refused(archive, f"it unpacks to too much, as seen at {member.name!r}")
                    target.write(chunk)
                    written += len(chunk)
            files += 1
            if progress is not None:
                progress(min(member.at, size), size)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, struct.error) as error:
        raise _refused(archive, f"it is damaged ({error})") from error
    except (ValueError, RuntimeError, LookupError, ArithmeticError) as error:
        # How the libraries of Python answer to headers that make no sense, or that they do not know.
        raise _refused(archive, f"it cannot be read ({error})") from error
    except OSError as error:
        if error.errno not in _BAD_PATH:
            raise
        raise _refused(archive, f"a name in it is there already, or is no name here ({error.strerror})") from error
    return files


def _members(archive: Path, limits: Limits) -> Iterator[_Member]:
    if archive.name.endswith((".tar.gz", ".tgz")):
        return _tar_members(archive, limits)
    if archive.name.endswith(".zip"):
        return _zip_members(archive)
    raise _refused(archive, "it is neither a .tar.gz nor a .zip")


def _tar_members(archive: Path, limits: Limits) -> Iterator[_Member]:
    with archive.open("rb") as packed, gzip.open(packed) as stream:
        bounded = cast("IO[bytes]", _Bounded(stream, archive, limits))
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            for info in tar:
                # A sparse file is stored small and comes out as large as its header says.
                plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.issparse()
                fault = None if plain or info.isdir() else "is a link, a device or the like"
                yield _Member(info.name, info.isdir(), fault, packed.tell(), partial(_opened, tar, info))
            # The checksum of a gzip stands at its end, behind all that a tar needs.
            while bounded.read(_CHUNK):
                pass


def _opened(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    source = tar.extractfile(info)
    if source is None:
        raise tarfile.ExtractError(f"{info.name!r} has no content")
    return source


class _Bounded:
    """What the tar is read through: :mod:`tarfile` reads as much at once as a header tells it to."""

    def __init__(self, stream: gzip.GzipFile, archive: Path, limits: Limits) -> None:
        self._stream, self._archive = stream, archive
        # Besides the files: their headers, and what fills up the last block of each and of the tar.
        self._end = limits.total + limits.entries * 4096 + (1 << 16)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= 1 << 20:
            raise _refused(self._archive, f"a header in it is {decimal(size)} long")
        content = self._stream.read(size)
        self._check(self._stream.tell())
        return content

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._end:
            raise _refused(self._archive, "it unpacks to too much")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
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
            yield _Member(name, info.is_dir(), fault, at, partial(packed.open, info))


def _parts(name: str) -> tuple[str, ...] | str:
    """The parts of a path below a folder, or why it is none."""
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is an absolute path"
    if "\\" in name or not name.isprintable():
        return "has a backslash or a control character in its name"
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        return "would land outside of the folder"
    return parts if len(parts) <= _DEPTH else "lies too deep"


def _refused(archive: Path, why: str) -> DataError:
    return DataError(
        f"{archive.name!r} is not unpacked, and nothing of it is kept: {why}; get the archive from somewhere else, or "
        "report this"
    )
