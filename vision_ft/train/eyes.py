"""What looks at photos with a frozen network: PyTorch, or on a CPU an engine that is some four times as fast."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from vision_ft.model.translate import Untranslatable

_log = logging.getLogger(__name__)

# Photos times parameters from which a faster engine makes up for the seconds that the translation takes.
_WORTH = 1.5e9
# Photos that a thread of the engine computes at once: few enough to stay in a core's own memory.
_AT_ONCE = 4
# How far the engine's features may lie from PyTorch's, in standard deviations of these.
_ALIKE = 1e-3


class Eyes(Protocol):
    """Looks at photos."""

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """What a network makes of uint8 pixels (photos, height, width, 3) on the CPU, in float32."""
        ...


class ByTorch:
    """PyTorch, on whatever device the network lies."""

    def __init__(
        self,
        part: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device,
        context: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        """Look with a part of a network.

        Args:
            part: of the network, from the pixels on.
            device: where the network lies.
            context: in which precision.
        """
        self._part = part
        self._device = device
        self._context = context

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """See :class:`Eyes`."""
        with torch.no_grad(), self._context():
            return self._part(pixels.to(self._device, non_blocking=True)).float()


class ByOnnxRuntime:
    """ONNX Runtime on the CPU, in float32.

    Each thread computes photos of its own: a thread that waits for no other computes some ten percent more than one of
    several that share each layer.
    """

    def __init__(self, graph: bytes) -> None:
        """Load a graph."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._takes = self._session.get_inputs()[0].name
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), "eyes")

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """See :class:`Eyes`."""
        return torch.cat(list(self._threads.map(self._look, torch.split(pixels, _AT_ONCE))))

    def _look(self, pixels: torch.Tensor) -> torch.Tensor:
        (found,) = self._session.run(None, {self._takes: pixels.numpy()})
        return torch.from_numpy(found)


def fastest(by_torch: ByTorch, graph: Callable[[], bytes], trial: torch.Tensor, photos: int, parameters: int) -> Eyes:
    """The engine to look at so many photos with, on a CPU and in float32.

    Args:
        by_torch: looks with a part of a network.
        graph: the same part, as ONNX; raises Untranslatable where there is none.
        trial: some pixels, on which the engines must agree.
        photos: to be looked at.
        parameters: of the network.
    """
    if photos * parameters < _WORTH:
        return by_torch
    try:
        eyes = ByOnnxRuntime(graph())
    except Untranslatable as error:
        _log.info("ONNX Runtime cannot look at the photos: %s", error)
        return by_torch
    wanted, found = by_torch(trial), eyes(trial)
    alike = found.shape == wanted.shape and bool((found - wanted).abs().max() <= _ALIKE * wanted.std())
    return eyes if alike else by_torch
