"""The folder of a search: whose it is, and what lies in it."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vision_ft.errors import ConfigError
from vision_ft.lock import hold

DATABASE, TABLE, WINNER, TRIALS = "study.db", "trials.csv", "best.yaml", "trials"
# Says that a folder is ours, and is held on to while it is used.
_OURS = ".vision-ft-search"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder of a search, or take the one that is there, for this process alone while the block lasts.

    Raises:
        ConfigError: it holds something else, another process searches there, or nothing can be written there.
    """
    check_installed()
    try:
        if _is_somebodys(folder):
            raise ConfigError(f"--out: {str(folder)!r} is there already and holds no search; name a new folder")
        made = _make(folder)
        file = (folder / _OURS).open("w")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--out: {str(folder)!r} cannot hold a search: {reason}; name another folder") from error
    with file:
        hold(file, ConfigError(f"--out: another process is searching in {str(folder)!r}; wait for it, or stop it"))
        try:
            yield
        finally:
            if not (folder / DATABASE).exists():
                # It did not come to begin.
                (folder / _OURS).unlink()
                for one in made:
                    with contextlib.suppress(OSError):
                        one.rmdir()


def _is_somebodys(folder: Path) -> bool:
    if folder.is_dir():
        return not (folder / _OURS).is_file() and any(folder.iterdir())
    return folder.exists()


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it; those that were not there, from the innermost."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def check_installed() -> None:
    """Raise :class:`~vision_ft.errors.ConfigError` if Optuna is not there."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("tune: needs the package optuna; pip install 'vision-ft[tune]'")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """A file to write that takes the other's place when it is complete."""
    fresh = path.with_name(f".{path.name}.part")
    with fresh.open("w", newline="", encoding="utf-8") as file:
        yield file
    fresh.replace(path)
