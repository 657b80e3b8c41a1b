"""Unpacking an archive that nobody here made: only plain files and folders, only below one folder, only so much."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from vision_ft.archives import Limits, members, named_faults, parts_below
from vision_ft.errors import DataError, UnreadableArchive

_CHUNK = 1 << 16
# The path itself is what the system objects to.
_BAD_PATH = frozenset(
    {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP}
)


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
    try:
        with named_faults():
            return _unpack(archive, folder, Limits() if limits is None else limits, progress)
    except UnreadableArchive as error:
        raise _refused(archive, str(error)) from error
    except OSError as error:
        if error.errno not in _BAD_PATH:
            raise
        raise _refused(archive, f"a name in it is there already, or is no name here ({error.strerror})") from error


def _unpack(archive: Path, folder: Path, limits: Limits, progress: Callable[[int, int], None] | None) -> int:
    size, files, written = archive.stat().st_size, 0, 0
    for count, member in enumerate(members(archive, limits), 1):
        if count > limits.entries:
            raise UnreadableArchive(f"it holds more than {limits.entries:,} files")
        parts = parts_below(member.name)
        if (fault := member.fault or (parts if isinstance(parts, str) else None)) is not None:
            raise UnreadableArchive(f"{member.name!r} in it {fault}")
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
                    raise UnreadableArchive(f"it unpacks to too much, as seen at {member.name!r}")
                target.write(chunk)
                written += len(chunk)
        files += 1
        if progress is not None:
            progress(min(member.at, size), size)
    return files


def _refused(archive: Path, why: str) -> DataError:
    return DataError(
        f"{archive.name!r} is not unpacked, and nothing of it is kept: {why}; get the archive from somewhere else, or "
        "report this"
    )
