"""Photos that lie in an archive: read one after the other where they are, and nothing is written to the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vision_ft.archives import Limits, Member, members, named_faults, parts_below
from vision_ft.errors import UnreadableArchive
from vision_ft.files import LEAVINGS
from vision_ft.imaging import looks_like_photo
from vision_ft.runtime.photos import Named

# Of one photo, whose bytes are held until it is decoded, as are those of some others.
MAX_MEMBER = 1 << 26

_CHUNK = 1 << 20
# Photos are packed already and hardly shrink in an archive; one that unpacks to more than this many times its size was
# made to.
_RATIO = 100
_AT_LEAST = 1 << 30


def photos_in(archive: str) -> Iterator[Named]:
    """The photos of an archive, by suffix as in a folder, each under the name ``archive.zip/folder/photo.jpg``.

    What cannot or must not be read of it is there with the reason: a link, a name that leads out of a folder, a member
    that is encrypted or larger than a photo may be. An archive that is damaged is there itself, with what is wrong,
    after the photos that came before the damage; in a zip those after it can still be read.
    """
    try:
        with named_faults():
            yield from _photos_in(Path(archive))
    except UnreadableArchive as error:
        yield Named(archive, f"the archive: {error}")
    except OSError as error:
        yield Named(archive, f"the archive: {error.strerror or error}")


def _photos_in(path: Path) -> Iterator[Named]:
    left = max(_AT_LEAST, _RATIO * path.stat().st_size)
    limits = Limits(entries=1 << 20, member=MAX_MEMBER, total=left)
    for member in members(path, limits):
        if member.is_folder or not _is_photo(member.name):
            continue
        name = f"{path}/{member.name}"
        parts = parts_below(member.name)
        if (fault := member.fault or (parts if isinstance(parts, str) else None)) is not None:
            yield Named(name, f"it {fault}")
            continue
        try:
            with named_faults():
                content = _content(member)
        except UnreadableArchive as error:
            yield Named(name, str(error))
            continue
        yield Named(name, f"more than the {MAX_MEMBER:,} bytes allowed" if content is None else content)
        left -= MAX_MEMBER if content is None else len(content)
        if left < 0:
            raise UnreadableArchive(f"it unpacks to too much, as seen at {member.name!r}; the rest is left out")


def _is_photo(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part in LEAVINGS or (part.startswith(".") and part not in (".", "..")) for part in parts)
    return not hidden and looks_like_photo(Path(name))


def _content(member: Member) -> bytes | None:
    """A member's bytes; ``None`` if they are more than a photo may have."""
    pieces, size = [], 0
    with member.open() as file:
        while piece := file.read(_CHUNK):
            pieces.append(piece)
            if (size := size + len(piece)) > MAX_MEMBER:
                return None
    return b"".join(pieces)
