"""Inference engines: each one small class behind one method."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from vision_ft.errors import BundleError
from vision_ft.framing import Pixels
from vision_ft.spec import PIXELS, PROBABILITIES

Probabilities = npt.NDArray[np.float32]

_ERRORS_ONLY = 3


class Engine(Protocol):
    """Runs an exported model."""

    def run(self, pixels: Pixels) -> Probabilities:
        """Probabilities (photos, classes) of uint8 pixels (photos, height, width, 3)."""


class OnnxRuntime:
    """ONNX Runtime on the CPU. Safe to call from several threads."""

    def __init__(self, model: bytes) -> None:
        """Load a graph.

        Args:
            model: the bytes of ``model.onnx``.

        Raises:
            BundleError: ONNX Runtime cannot load it.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # Its own exception types are made in C++ and share no base but Exception.
            raise BundleError(f"ONNX Runtime {onnxruntime.__version__} cannot load the model: {error}") from error

    def run(self, pixels: Pixels) -> Probabilities:
        """Probabilities (photos, classes) of uint8 pixels (photos, height, width, 3)."""
        (probabilities,) = self._session.run([PROBABILITIES], {PIXELS: pixels})
        return np.asarray(probabilities, dtype=np.float32)
