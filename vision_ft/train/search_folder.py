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
_LOCK = ".lock"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder of a search, or take the one that is there, for this process alone while the block lasts.

    Raises:
        ConfigError: it holds something else, another process searches there, or nothing can be written there.
    """
    check_installed()
    if folder.exists() and not (folder / DATABASE).is_file() and _holds_anything(folder):
        raise ConfigError(f"--out: {str(folder)!r} is there already and holds no search; name a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOCK).open("w")
    except OSError as error:
        raise ConfigError(f"--out: {str(folder)!r} cannot hold a search: {error.strerror}; name another") from error
    with file:
        hold(file, ConfigError(f"--out: another process is searching in {str(folder)!r}; wait for it, or stop it"))
        try:
            yield
        finally:
            if not (folder / DATABASE).exists():
                # It did not come to begin.
                (folder / _LOCK).unlink()
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _holds_anything(folder: Path) -> bool:
    return not folder.is_dir() or any(path.name != _LOCK for path in folder.iterdir())


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
