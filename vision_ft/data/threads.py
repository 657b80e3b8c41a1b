"""Looking at many files at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

_CHUNK = 32

_Result = TypeVar("_Result")


def each(paths: Sequence[Path], look: Callable[[Sequence[Path]], list[_Result]], doing: str) -> list[_Result]:
    """What is seen of each path, in order."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    # Decoding and hashing leave the interpreter's lock, so threads are enough and start at once.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return [one for chunk in _shown(pool.map(look, chunks), doing, len(chunks)) for one in chunk]


def _shown(results: Iterable[_Result], doing: str, total: int) -> Iterable[_Result]:
    console = Console(stderr=True)
    return track(results, doing, total=total, console=console, transient=True, disable=not console.is_terminal)
