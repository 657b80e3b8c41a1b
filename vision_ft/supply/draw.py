"""A labelled folder of drawings, for trying the way from photos to predictions without any photos."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from vision_ft.errors import DataError
from vision_ft.supply.faces import KINDS, draw_face

# What ``drawn:FOLDER`` draws: enough that a test part of 15 % tells chance from learning at a glance.
COUNT = 400
SIZE = 160


def draw_set(folder: Path, *, count: int = COUNT, size: int = SIZE, seed: int = 0) -> None:
    """Draw cats and dogs, the same ones for the same seed.

    The folder appears once it is complete, so one that was half drawn is never taken for data.

    Args:
        folder: made by this call; holds ``cat`` and ``dog`` afterwards.
        count: drawings of each class.
        size: width and height, in pixels.
        seed: of everything random.

    Raises:
        DataError: the folder is there already and is not empty, or a number is out of range.
    """
    if count < 1 or size < 16 or seed < 0:
        raise DataError(f"count is {count}, size {size}, seed {seed}; they must be at least 1, 16 and 0")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{str(folder)!r} is there already; nothing was drawn. Name a new folder, or remove that one")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise DataError(f"cannot draw into {str(folder)!r}: {error.strerror}; name another folder") from error
    console = Console(stderr=True)
    try:
        for kind in KINDS:
            (staging / kind).mkdir()
        # A seed for each drawing: a larger set begins with the smaller one.
        jobs = [(kind, index) for index in range(count) for kind in KINDS]
        shown = track(jobs, "drawing", console=console, transient=True, disable=not console.is_terminal)
        for kind, index in shown:
            rng = np.random.default_rng([seed, KINDS.index(kind), index])
            quality = int(rng.integers(60, 95))
            draw_face(kind, rng, size).save(staging / kind / f"{kind}.{index}.jpg", quality=quality)
        staging.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        staging.replace(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def draw_if_missing(folder: Path) -> None:
    """Draw the practice set, and say so, unless the folder is there."""
    if folder.exists():
        return
    Console(stderr=True).print(
        f"drawing {COUNT} cats and {COUNT} dogs into {folder} (practice drawings, no photos)", markup=False
    )
    draw_set(folder)
