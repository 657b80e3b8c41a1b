"""Where predictions go: a file that is written record by record, and is whole after each."""

from __future__ import annotations

import array
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from vision_ft.commands.records import format_of
from vision_ft.commands.resuming import Done, go_on
from vision_ft.errors import UsageError
from vision_ft.lock import hold
from vision_ft.runtime.predictor import Prediction

# Parquet is written in one go at the end, of a file of lines that is kept beside it until then.
_JOURNAL = ".part"


class Output:
    """A file of predictions; a context manager.

    Attributes:
        done: whose predictions it has already.
        failed: how many of those have no answer.
    """

    def __init__(self, path: Path, classes: Sequence[str], *, resume: bool) -> None:
        """Open it.

        Args:
            path: the file.
            classes: those of the model.
            resume: go on with what is there; without it a file that is there is not touched.

        Raises:
            UsageError: the file is there, or cannot be gone on with, or has no place.
        """
        self._path = path
        self._kind, self._classes = format_of(path.suffix, classes), classes
        self.done, self.failed = Done(array.array("Q")), 0
        self._parquet = path.suffix == ".parquet"
        if self._parquet:
            from vision_ft.commands.parquet import check_installed

            check_installed()
            if os.path.lexists(path):
                raise UsageError(f"--out: {str(path)!r} is there already and is not written over; name another file")
        self._lines = Path(f"{path}{_JOURNAL}") if self._parquet else path
        self._file = self._opened(resume=resume)

    def write(self, prediction: Prediction) -> None:
        """Add a prediction."""
        _write_whole(self._file, self._kind.encode(prediction))

    def finish(self) -> None:
        """Say that all predictions are written."""
        if self._parquet:
            from vision_ft.commands.parquet import from_lines

            from_lines(self._lines, self._path, self._classes)
            self._lines.unlink()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    def _opened(self, *, resume: bool) -> IO[bytes]:
        path = self._lines
        try:
            if not os.path.lexists(path):
                file: IO[bytes] = path.open("xb", buffering=0)
            elif resume:
                file = path.open("r+b", buffering=0)
            else:
                raise UsageError(
                    f"--out: {str(path)!r} is there already and is not written over; name another file, or go on with "
                    "it by --resume"
                )
        except FileNotFoundError as error:
            raise UsageError(
                f"--out: there is no folder {str(path.parent)!r}; make it, or name another place"
            ) from error
        except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
            raise UsageError(f"--out: {path}: {error.strerror}; name another place") from error
        try:
            hold(file, UsageError(f"--out: another process is writing {str(path)!r}; wait for it"))
            if os.fstat(file.fileno()).st_size:
                with path.open("r+b") as buffered:
                    self.done, self.failed = go_on(path, buffered, self._kind)
                file.seek(0, os.SEEK_END)
            if not file.tell():
                _write_whole(file, self._kind.head())
        except BaseException:
            file.close()
            raise
        return file


def _write_whole(file: IO[bytes], content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
