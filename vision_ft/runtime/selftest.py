"""Whether a bundle says here what it said where it was made."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vision_ft.errors import BundleError, UsageError
from vision_ft.framing import Framing, Pixels
from vision_ft.runtime.bundle import open_bundle
from vision_ft.runtime.engine import ENGINES, Engine
from vision_ft.spec import GOLDEN_FILE, THUMBNAILS_FILE

# Under which the answers of the network itself lie.
SOURCE = "source"
BATCHES = (1, 3, 16)
# In probability. Eight-bit kernels round otherwise from processor to processor; those that overflow are off by more.
_EXACT, _NEAR = 1e-4, 0.02
# Of novelty, where 1 is the threshold.
_NOVELTY = 5e-3


@dataclass(frozen=True)
class Tested:
    """What a test of one engine found.

    Attributes:
        engine: its name.
        largest: the largest difference in probability; ``None`` where it cannot run here.
        allowed: at most.
        fault: why it did not pass, or cannot run; ``None`` where it passed.
        skipped: whether it cannot run here, which is no fault of the bundle's.
    """

    engine: str
    largest: float | None
    allowed: float
    fault: str | None = None
    skipped: bool = False


def self_test(bundle: Path) -> tuple[int, list[Tested]]:
    """Ask each engine that a bundle has for its answers to the bundle's own thumbnails, at several batch sizes.

    Needs no torch, and no photos but those in the bundle.

    Args:
        bundle: its folder.

    Returns:
        How many thumbnails, and what was found of each engine.

    Raises:
        BundleError: the folder is no bundle, was changed, or has no thumbnails.
    """
    spec, files = open_bundle(bundle)
    if GOLDEN_FILE not in files or THUMBNAILS_FILE not in files:
        raise BundleError(
            f"{str(bundle)!r} has no photos to test itself with; export the model again, with --thumbnails 4"
        )
    golden = json.loads(files[GOLDEN_FILE])
    pixels = _thumbnails(files[THUMBNAILS_FILE], spec.preprocessing.framing)
    for photo, known in zip(pixels, golden["photos"], strict=False):
        if hashlib.sha256(photo.tobytes()).hexdigest() != known["pixels"]:
            raise BundleError(f"{str(bundle / THUMBNAILS_FILE)!r} is not what it was; export the model again")
    found = []
    for name, kind in ENGINES.items():
        if kind.file not in files:
            continue
        allowed = _EXACT if kind.exact else _NEAR
        answers = golden["answers"][SOURCE if kind.exact else name]
        try:
            engine = kind.load(files[kind.file], 1)
        except (UsageError, BundleError) as error:
            found.append(Tested(name, None, allowed, str(error), skipped=isinstance(error, UsageError)))
            continue
        found.append(_tested(name, engine, pixels, answers, allowed))
    return len(pixels), found


def _tested(name: str, engine: Engine, pixels: Pixels, expected: dict[str, Any], allowed: float) -> Tested:
    wanted = np.array(expected["probabilities"][: len(pixels)])
    novelty = None if expected["novelty"] is None else np.array(expected["novelty"][: len(pixels)])
    largest = 0.0
    for size in BATCHES:
        rows = np.arange(max(len(pixels), size)) % len(pixels)
        found = [engine.run(pixels[part]) for part in _parts(rows, size)]
        off = _off(np.concatenate([one.probabilities for one in found]), wanted[rows])
        largest = max(largest, off)
        if not off <= allowed:
            return Tested(name, off, allowed, f"differs by {off:.2g} in probability at batch {size}")
        if novelty is not None and allowed == _EXACT:
            columns = [one.novelty for one in found if one.novelty is not None]
            off = _off(np.concatenate(columns), novelty[rows]) if columns else float("inf")
            if not off <= _NOVELTY:
                return Tested(name, largest, allowed, f"differs by {off:.2g} in novelty at batch {size}")
    return Tested(name, largest, allowed)


def _off(found: Any, wanted: Any) -> float:
    difference = np.abs(found - wanted) if found.shape == wanted.shape else np.array(np.inf)
    return float(difference.max()) if np.isfinite(difference).all() else float("inf")


def _parts(rows: Any, size: int) -> Iterator[Any]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _thumbnails(data: bytes, framing: Framing) -> Pixels:
    """uint8 (photos, height, width, 3)."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8).reshape(-1, framing.height, framing.width, 3)
