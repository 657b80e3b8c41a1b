"""Fetching a data set that others made: download, verify, unpack, and only then put it where it belongs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rich.filesize import decimal

from vision_ft.errors import NO_SPACE, DataError, UsageError
from vision_ft.lock import hold
from vision_ft.supply.catalogue import DataSet, RemoteFile
from vision_ft.supply.display import Display
from vision_ft.supply.download import Part, check_room, download
from vision_ft.supply.network import host_of
from vision_ft.supply.unpack import unpack

# Holds what is on its way, inside of the folder of the data set and so on the same disk.
WORK = ".download"
SOURCE, NOTICE = "SOURCE.json", "LICENCE_AND_CITATION.txt"


def fetch(data_set: DataSet, folder: Path, *, mirror: str | None = None, keep_archives: bool = False) -> int | None:
    """Fetch a data set into a folder, beside whatever else is in it.

    The data appear once they are complete and verified; until then, and after a failure, only the hidden folder
    ``.download`` is there, from which the next call goes on.

    Args:
        data_set: from the catalogue.
        folder: made if it is missing.
        mirror: an address below which ``NAME/FILE`` lies, to ask instead of the makers. It is not trusted.
        keep_archives: leave the archives in ``.download``.

    Returns:
        The number of files, or None if the data set was there already; then the network was not asked.

    Raises:
        UsageError: the mirror is no address of the web.
        DataError: something that is not ours is in the way, the network fails, or what came is not what was expected.
    """
    if mirror is not None and not _is_address(mirror):
        # Without the address itself: there may be a password in it.
        raise UsageError("the mirror (--mirror URL or VISION_FT_MIRROR) must be a http:// or https:// address")
    if is_complete(data_set, folder):
        return None
    _refuse_if_taken(folder, [*data_set.unpacks, SOURCE, NOTICE])
    with _workplace(folder) as work:
        parts = [Part(work / f"{file.name}.part") for file in data_set.files]
        _check_room(data_set, parts, work)
        archives = [_archive(data_set, file, part, mirror) for file, part in zip(data_set.files, parts, strict=True)]
        staging = Path(tempfile.mkdtemp(prefix="unpacked-", dir=work))
        try:
            count = _unpack(data_set, archives, staging)
            _move_in(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        for archive in [] if keep_archives else archives:
            archive.unlink()
    return count


def is_complete(data_set: DataSet, folder: Path) -> bool:
    """Whether an earlier call fetched this very data set into the folder."""
    try:
        source = json.loads((folder / SOURCE).read_bytes())
        same = [file["sha256"] for file in source["files"]] == [file.sha256 for file in data_set.files]
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return same and all((folder / name).exists() for name in data_set.unpacks)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        return False


def _refuse_if_taken(folder: Path, names: Sequence[str]) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise DataError(f"{str(folder)!r} is there and is no folder; nothing was fetched. Name another FOLDER")
    if taken := [name for name in names if os.path.lexists(folder / name)]:
        raise DataError(
            f"{str(folder)!r} holds {', '.join(map(repr, taken))} already; nothing of it was touched. Move it away, or "
            "name another FOLDER"
        )


@contextlib.contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """The hidden folder of what is on its way, for this call alone; it goes when nothing is left in it."""
    work, made = folder / WORK, not folder.exists()
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = (work / "lock").open("w")
    except OSError as error:
        if error.errno in NO_SPACE:
            raise
        raise DataError(f"cannot fetch into {str(folder)!r}: {error.strerror}; name another FOLDER") from error
    with lock:
        hold(lock, DataError(f"another command is fetching into {str(folder)!r}; wait for it, or stop it"))
        try:
            # Left behind by a call that was killed.
            for stale in work.glob("unpacked-*"):
                shutil.rmtree(stale)
            yield work
        finally:
            (work / "lock").unlink()
            with contextlib.suppress(OSError):
                work.rmdir()
                if made:
                    folder.rmdir()


def _check_room(data_set: DataSet, parts: Sequence[Part], work: Path) -> None:
    """Photos are packed already: what is unpacked is about as large as the archive."""
    need = 0
    for file, part in zip(data_set.files, parts, strict=True):
        here = part.held + ((work / file.name).stat().st_size if (work / file.name).exists() else 0)
        need += 0 if file.size is None else 2 * file.size - min(here, file.size)
    check_room(work, need, f"{data_set.name}, packed and unpacked,")


def _archive(data_set: DataSet, file: RemoteFile, part: Part, mirror: str | None) -> Path:
    """A verified archive: one that is here, or one that is fetched."""
    url = file.url if mirror is None else f"{mirror.rstrip('/')}/{data_set.name}/{file.name}"
    archive = part.path.with_name(file.name)
    if not archive.exists():
        of_size = "" if file.size is None else f" ({decimal(file.size)})"
        with Display(f"fetching {file.name} from {host_of(url)}{of_size}", file.name) as display:
            download(url, part, size=file.size, say=display.say, progress=display.progress)
    held, whose = (archive, f"in {str(archive.parent)!r}") if archive.exists() else (part.path, f"of {host_of(url)}")
    with Display(f"verifying {file.name}", file.name) as display, held.open("rb") as stream:
        digest, size, done = hashlib.sha256(), held.stat().st_size, 0
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            done += len(chunk)
            display.progress(done, size)
    if digest.hexdigest() != file.sha256:
        held.unlink()
        part.discard()
        raise DataError(
            f"{file.name} {whose} is not the file that is expected and was removed: its SHA-256 is "
            f"{digest.hexdigest()}, not {file.sha256}; run the command again, or name a mirror with --mirror URL"
        )
    if held == part.path:
        part.become(archive)
    return archive


def _unpack(data_set: DataSet, archives: Sequence[Path], staging: Path) -> int:
    count = 0
    for archive in archives:
        with Display(f"unpacking {archive.name}", archive.name) as display:
            count += unpack(archive, staging, progress=display.progress)
    if not (staging / data_set.photos).is_dir():
        raise DataError(f"the archives of {data_set.name} hold no folder {data_set.photos!r}; please report this")
    (staging / NOTICE).write_text(data_set.notice(), encoding="utf-8")
    (staging / SOURCE).write_text(json.dumps(data_set.source(), indent=2) + "\n", encoding="utf-8")
    return count


def _move_in(staging: Path, folder: Path) -> None:
    """Move everything or nothing; what says that all is there comes last."""
    names = sorted((path.name for path in staging.iterdir()), key=lambda name: (name == SOURCE, name))
    _refuse_if_taken(folder, names)
    moved: list[str] = []
    try:
        for name in names:
            (staging / name).rename(folder / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            (folder / name).rename(staging / name)
        raise
