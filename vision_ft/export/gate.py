"""The gate: no model is handed over that disagrees with the one it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from vision_ft.errors import ExportMismatch
from vision_ft.export.graph import Exported

TOLERANCE = 1e-4
BATCHES = (1, 3, 16)

Pixels = npt.NDArray[np.uint8]
Runs = Callable[[Pixels], npt.NDArray[np.float32]]


def compare(model: Exported, engine: Runs, photos: Sequence[Pixels]) -> dict[str, object]:
    """Compare an exported model with its source, photo by photo, at several batch sizes.

    Args:
        model: the source, in eval mode, on the CPU.
        engine: the exported model: uint8 (photos, height, width, 3) to probabilities (photos, classes).
        photos: framed, each uint8 (height, width, 3).

    Returns:
        What was compared and the largest difference, for the spec.

    Raises:
        ExportMismatch: a probability differs by more than 1e-4, or is no number.
    """
    pixels = np.stack(photos)
    with torch.inference_mode():
        expected = np.concatenate([model(torch.from_numpy(part)).numpy() for part in _parts(pixels, max(BATCHES))])
    worst = 0.0
    for size in BATCHES:
        # The photos go round, so that even a few of them fill the largest batch.
        rows = np.arange(max(len(photos), size)) % len(photos)
        got = np.concatenate([engine(part) for part in _parts(pixels[rows], size)])
        if got.shape != expected[rows].shape:
            raise ExportMismatch(f"the exported model gives {got.shape} at batch {size}, not {expected[rows].shape}")
        difference = np.abs(got - expected[rows])
        # ``max`` passes over what is no number; this does not.
        off = float(difference.max()) if np.isfinite(difference).all() else float("inf")
        if not off <= TOLERANCE:
            raise ExportMismatch(
                f"the exported model differs from its source by {off:.2g} in probability at batch {size}, more than "
                f"{TOLERANCE:g}; it was not written. Please report the backbone and the versions of torch and onnx"
            )
        worst = max(worst, off)
    return {
        "photos": len(photos),
        "batches": list(BATCHES),
        "tolerance": TOLERANCE,
        "largest_difference": worst,
    }


def _parts(pixels: Pixels, size: int) -> list[Pixels]:
    return [pixels[start : start + size] for start in range(0, len(pixels), size)]
