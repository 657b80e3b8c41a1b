"""Inference engines: each one small class behind one method."""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from vision_ft.errors import BundleError
from vision_ft.framing import Pixels
from vision_ft.spec import PIXELS, PROBABILITIES

Probabilities = npt.NDArray[np.float32]

_ERRORS_ONLY = 3


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Engine(Protocol):
    """Runs an exported model."""

    def run(self, pixels: Pixels) -> Probabilities:
        """Probabilities (photos, classes) of uint8 pixels (photos, height, width, 3)."""


class OnnxRuntime:
    """ONNX Runtime on the CPU. Safe to call from several threads."""

    def __init__(self, model: bytes, lanes: int = 1) -> None:
        """Load a graph.

        Args:
            model: the bytes of ``model.onnx``.
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

    def run(self, pixels: Pixels) -> Probabilities:
        """Probabilities (photos, classes) of uint8 pixels (photos, height, width, 3)."""
        (probabilities,) = self._session.run([PROBABILITIES], {PIXELS: pixels})
        return np.asarray(probabilities, dtype=np.float32)
