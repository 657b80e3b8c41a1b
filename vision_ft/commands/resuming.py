"""What an output has already, from before the process that wrote it was ended."""

from __future__ import annotations

import hashlib
from array import array
from pathlib import Path
from typing import IO

import numpy as np

from vision_ft.commands.records import Format
from vision_ft.errors import UsageError


class Done:
    """How often each path has its record: 12 bytes a path are held, and not the path.

    Two of a million paths share a digest of 64 bits with a chance of 1 in 30 million.
    """

    def __init__(self, digests: array[int]) -> None:
        """Of the digests of all records' paths."""
        self._digests, counts = np.unique(np.frombuffer(digests, dtype=np.uint64), return_counts=True)
        self._left = counts.astype(np.uint32)

    def __len__(self) -> int:
        """How many records are there that were not taken."""
        return int(self._left.sum())

    def take(self, path: str) -> bool:
        """Whether a record of this path is there that was not taken for another one."""
        digest = np.uint64(_digest(path))
        place = int(np.searchsorted(self._digests, digest))
        if place == len(self._digests) or self._digests[place] != digest or not self._left[place]:
            return False
        self._left[place] -= 1
        return True


def go_on(path: Path, file: IO[bytes], kind: Format) -> tuple[Done, int]:
    """Read what is there, and cut off a record at the end that was only begun.

    Args:
        path: of the output, for messages.
        file: the output, open for reading and writing; stands at its end afterwards.
        kind: its format.

    Returns:
        Whose records it has, and how many of these have no answer.

    Raises:
        UsageError: it is no output of this model; nothing is changed.
    """
    digests, failed, end = array("Q"), 0, 0
    for number, record in enumerate(kind.whole(file), 1):
        try:
            path_of, without_answer = kind.read(record)
            end += len(record)
            if record == kind.head():
                if number == 1:
                    continue
                raise ValueError("it is the head once more")
            if number == 1 and kind.head():
                raise ValueError("it is not the head that this model's output has")
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"--resume: {path}, record {number}: {error}; name another --out") from error
        digests.append(_digest(path_of))
        failed += without_answer
    file.seek(end)
    begun = file.read()
    if begun and not end and not _may_begin(begun, kind):
        raise UsageError(f"--resume: {path} is no output of this command; name another --out")
    file.truncate(end)
    file.seek(end)
    return Done(digests), failed


def _may_begin(begun: bytes, kind: Format) -> bool:
    """Whether these bytes are the beginning of an output."""
    start = kind.head() or b'{"path": '
    return begun.startswith(start) or start.startswith(begun)


def _digest(path: str) -> int:
    name = path.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
