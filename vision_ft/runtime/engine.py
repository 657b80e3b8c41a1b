"""Inference engines: each one small class behind the same methods."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from vision_ft.errors import BundleError
from vision_ft.framing import Pixels
from vision_ft.spec import INT8_FILE, MODEL_FILE, NOVELTY, PIXELS, PLACES, PROBABILITIES

Floats = npt.NDArray[np.float32]

_ERRORS_ONLY = 3


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Answers(NamedTuple):
    """What an exported model says of some photos.

    Attributes:
        probabilities: float32 (photos, classes).
        novelty: float32 (photos,); ``None`` where the model has no such score.
    """

    probabilities: Floats
    novelty: Floats | None = None


class Engine(Protocol):
    """Runs an exported model. Safe to call from several threads.

    Attributes:
        lanes: calls at once that share the cores best.
    """

    lanes: int

    def run(self, pixels: Pixels) -> Answers:
        """Probabilities and novelty of uint8 pixels (photos, height, width, 3)."""

    def places(self, pixels: Pixels) -> Floats | None:
        """Logits of each place alone, (photos, rows, columns, classes); ``None`` where the model has none.

        Of uint8 pixels (photos, height, width, 3). They are computed when they are asked for, and not otherwise.
        """


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    def __init__(self, model: bytes, lanes: int = 1) -> None:
        """Load a graph.

        Args:
            model: the bytes of ``model.onnx`` or ``model.int8.onnx``.
            lanes: how many calls at once are to share the cores, 1 or more.

        Raises:
            BundleError: ONNX Runtime cannot load it.
        """
        if lanes < 1:
            raise ValueError(f"lanes is {lanes}, must be 1 or more")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = max(1, cores() // lanes)
        # Its threads would keep their cores busy while they wait, and others decode on these.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.lanes = lanes
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # Its own exception types are made in C++ and share no base but Exception.
            raise BundleError(f"ONNX Runtime {onnxruntime.__version__} cannot load the model: {error}") from error
        self._has = {output.name for output in self._session.get_outputs()}

    def run(self, pixels: Pixels) -> Answers:
        """See :class:`Engine`."""
        wanted = [name for name in (PROBABILITIES, NOVELTY) if name in self._has]
        return Answers(*self._session.run(wanted, {PIXELS: pixels}))

    def places(self, pixels: Pixels) -> Floats | None:
        """See :class:`Engine`."""
        if PLACES not in self._has:
            return None
        (found,) = self._session.run([PLACES], {PIXELS: pixels})
        return np.asarray(found, dtype=np.float32)


class Kind(NamedTuple):
    """An engine that there is.

    Attributes:
        file: of the bundle, which it runs.
        load: makes the engine of the bytes of its file, for so many calls at once; raises BundleError or UsageError
            where it cannot.
        exact: whether it computes in float32 and answers what the network does; the others come near.
    """

    file: str
    load: Callable[[bytes, int], Engine]
    exact: bool


def _openvino(model: bytes, lanes: int) -> Engine:
    from vision_ft.runtime.openvino import OpenVino

    return OpenVino(model, lanes)


# What ``--engine`` takes.
ENGINES: dict[str, Kind] = {
    "onnx": Kind(MODEL_FILE, OnnxRuntime, exact=True),
    "int8": Kind(INT8_FILE, OnnxRuntime, exact=False),
    "openvino": Kind(MODEL_FILE, _openvino, exact=True),
}
