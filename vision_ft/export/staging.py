"""Writing a bundle so that there is always a whole one: the old one until the new one is complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vision_ft.errors import NO_SPACE, BundleError
from vision_ft.spec import BUNDLE_FILES, MODEL_FILE, SPEC_FILE


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder to write a bundle in, which takes the place of ``out`` when the block ends well.

    If the block fails, ``out`` is as it was.

    Args:
        out: where the bundle shall be; an earlier bundle there is replaced, anything else is left alone.

    Raises:
        BundleError: there is something else at ``out``, or it cannot be written; the disk may be full.
    """
    if out.exists() and (fault := _not_replaceable(out)):
        raise BundleError(f"{str(out)!r} {fault}; nothing was written. Move it away, or name another place with --out")
    staging: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.new-", dir=out.parent))
        yield staging
        staging.chmod(0o755)
        _swap(staging, out)
    except OSError as error:
        kept = "the bundle that was there is unharmed" if out.exists() else "no bundle was left behind"
        if error.errno in NO_SPACE:
            raise BundleError(
                f"the disk is full: {str(out)!r} was not written, {kept}; make room and export again"
            ) from error
        raise BundleError(f"{str(out)!r} was not written ({error.strerror or error}); {kept}") from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def write(path: Path, data: bytes) -> str:
    """Write a file to the disk itself, not only to its cache, and return its SHA-256."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def _not_replaceable(out: Path) -> str | None:
    """Why a folder may not be replaced: it is not a bundle, or not a bundle alone. A damaged bundle may be."""
    names = {path.name for path in out.iterdir()} if out.is_dir() else None
    if names is None or (names and not {SPEC_FILE, MODEL_FILE} <= names):
        return "is there and is no bundle"
    if strays := sorted(names - BUNDLE_FILES):
        return f"holds more than a bundle ({', '.join(map(repr, strays))})"
    return None


def _swap(staging: Path, out: Path) -> None:
    if not out.exists():
        staging.rename(out)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.old-", dir=out.parent))
    out.rename(aside / out.name)
    try:
        staging.rename(out)
    except OSError:
        # Should this fail too, the old bundle stays where it is now.
        (aside / out.name).rename(out)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)
