"""Whether a bundle says here what it said where it was made."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vision_ft.errors import BundleError, UsageError
from vision_ft.framing import Framing, Pixels
from vision_ft.runtime.agreement import NOVELTY_TOLERANCE, TOLERANCE, at_each_size, largest
from vision_ft.runtime.bundle import open_bundle
from vision_ft.runtime.engine import ENGINES, Engine
from vision_ft.spec import GOLDEN_FILE, THUMBNAILS_FILE

# Under which the answers of the network itself lie.
SOURCE = "source"
# In probability, of an engine in eight bits: its kernels round otherwise from processor to processor, and those that
# overflow are off by more.
_NEAR = 0.02


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
        allowed = TOLERANCE if kind.exact else _NEAR
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
    worst = 0.0
    for size, rows, (probabilities, *novelties) in at_each_size(engine.run, pixels):
        off = largest(probabilities, wanted[rows])
        worst = max(worst, off)
        if not off <= allowed:
            return Tested(name, off, allowed, f"differs by {off:.2g} in probability at batch {size}")
        if novelty is not None and allowed == TOLERANCE:
            off = largest(novelties[0], novelty[rows]) if novelties else float("inf")
            if not off <= NOVELTY_TOLERANCE:
                return Tested(name, worst, allowed, f"differs by {off:.2g} in novelty at batch {size}")
    return Tested(name, worst, allowed)


def _thumbnails(data: bytes, framing: Framing) -> Pixels:
    """uint8 (photos, height, width, 3)."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8).reshape(-1, framing.height, framing.width, 3)
