"""The gate: nothing is handed over that disagrees with the network that it came from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from vision_ft.errors import ExportMismatch
from vision_ft.export.graph import Exported
from vision_ft.export.part import Pixels
from vision_ft.runtime.agreement import (
    BATCHES,
    NOVELTY_TOLERANCE,
    TOLERANCE,
    Answering,
    at_each_size,
    largest,
    parts,
)
from vision_ft.runtime.engine import Answers


class Agreement(NamedTuple):
    """An engine that agrees with a network.

    Attributes:
        record: what was compared and the largest differences, for the spec.
        source: what the network says of the golden photos: what was compared with.
    """

    record: dict[str, object]
    source: Answers


class Gate:
    """A network and its golden photos, which engines are held against."""

    def __init__(self, model: Exported, photos: Sequence[Pixels]) -> None:
        """Ask the network.

        Args:
            model: the source, in eval mode, on the CPU.
            photos: framed, each uint8 (height, width, 3).
        """
        self.pixels = np.stack(photos)
        self.model = model
        self._source = _ask(model, self.pixels)
        self._in_float64: Answers | None = None

    def compare(self, engine: Answering) -> Agreement:
        """Compare an engine in float32 with the network, photo by photo, at several batch sizes.

        Where they differ, the network is asked once more in float64. With a head that is very sure of itself its own
        rounding in float32 may come to more than is allowed; then an engine passes that is right.

        Raises:
            ExportMismatch: a probability differs by more than 1e-4, novelty by more than 5e-3, or is no number.
        """
        try:
            return Agreement(_compared(engine, self.pixels, self._source, "float32"), self._source)
        except ExportMismatch as mismatch:
            try:
                if self._in_float64 is None:
                    self._in_float64 = _ask(copy.deepcopy(self.model).double(), self.pixels)
                return Agreement(_compared(engine, self.pixels, self._in_float64, "float64"), self._in_float64)
            except (ExportMismatch, RuntimeError):
                # Some backbones make float32 of what they are given, and take no float64.
                raise mismatch from None


def check_batches(engine: Answering, pixels: Pixels) -> None:
    """See that an engine answers the same at every batch size.

    Raises:
        ExportMismatch: a probability differs by more than 1e-4, or is no number.
    """
    expected = engine(pixels).probabilities
    for size, rows, got in at_each_size(engine, pixels):
        if not (off := _largest(got[0], expected[rows], size)) <= TOLERANCE:
            raise ExportMismatch(f"it answers otherwise at batch {size}, by {off:.2g} in probability")


def _largest(got: npt.NDArray[Any], expected: npt.NDArray[Any], size: int) -> float:
    if got.shape != expected.shape:
        raise ExportMismatch(f"the exported model gives {got.shape} at batch {size}, not {expected.shape}")
    return largest(got, expected)


def _ask(model: Exported, pixels: Pixels) -> Answers:
    with torch.inference_mode():
        # A copy, for torch warns of arrays that are not its to write to.
        columns = [
            [one.numpy() for one in model(torch.from_numpy(part.copy()))] for part in parts(pixels, max(BATCHES))
        ]
    return Answers(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _compared(engine: Answering, pixels: Pixels, source: Answers, precision: str) -> dict[str, object]:
    expected = [column for column in source if column is not None]
    worst = [0.0, 0.0]
    for size, rows, got in at_each_size(engine, pixels):
        if len(got) != len(expected):
            raise ExportMismatch("the exported model has no novelty")
        kinds = (("probability", TOLERANCE), ("novelty", NOVELTY_TOLERANCE))
        for place, ((kind, most), found, wanted) in enumerate(zip(kinds, got, expected, strict=False)):
            off = _largest(found, wanted[rows], size)
            if not off <= most:
                raise ExportMismatch(
                    f"the exported model differs from its source by {off:.2g} in {kind} at batch {size}, more than "
                    f"{most:g}; it was not written. Please report the backbone and the versions of torch and onnx"
                )
            worst[place] = max(worst[place], off)
    return {
        "photos": len(pixels),
        "batches": list(BATCHES),
        "tolerance": TOLERANCE,
        "source_in": precision,
        "largest_difference": worst[0],
        **({"largest_difference_of_novelty": worst[1]} if len(expected) > 1 else {}),
    }
