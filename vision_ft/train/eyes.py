"""What looks at photos with a frozen backbone: PyTorch, or on a CPU an engine that is some four times as fast."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import nn

from vision_ft.model.network import Network
from vision_ft.model.translate import Untranslatable, translate

_log = logging.getLogger(__name__)

_TAKES, _GIVES = "pixels", "features"
# Photos times parameters from which a faster engine makes up for the seconds that the translation takes.
_WORTH = 1.5e9
# How far the engine's features may lie from PyTorch's, in standard deviations of these.
_ALIKE = 1e-3


class Eyes(Protocol):
    """Looks at photos."""

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features, float32 (photos, features), of uint8 pixels (photos, height, width, 3) on the CPU."""
        ...


class ByTorch:
    """PyTorch, on whatever device the network lies."""

    def __init__(
        self,
        features: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device,
        context: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        """Look with a network.

        Args:
            features: of pixels.
            device: where the network lies.
            context: in which precision.
        """
        self._features = features
        self._device = device
        self._context = context

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """See :class:`Eyes`."""
        with torch.no_grad(), self._context():
            return self._features(pixels.to(self._device, non_blocking=True)).float()


class ByOnnxRuntime:
    """ONNX Runtime on the CPU, in float32."""

    def __init__(self, graph: bytes) -> None:
        """Load a graph that gives features."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """See :class:`Eyes`."""
        (found,) = self._session.run([_GIVES], {_TAKES: pixels.numpy()})
        return torch.from_numpy(found)


def fastest(network: Network, by_torch: ByTorch, trial: torch.Tensor, photos: int) -> Eyes:
    """The engine to look at so many photos with, on a CPU and in float32.

    Args:
        network: in eval mode.
        by_torch: looks with it.
        trial: some pixels, on which the engines must agree.
        photos: to be looked at.
    """
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if photos * parameters < _WORTH:
        return by_torch
    framing = network.preprocessing.framing
    try:
        graph = translate(_Features(network), framing.height, framing.width, _TAKES, _GIVES)
    except Untranslatable as error:
        _log.info("ONNX Runtime cannot look at the photos: %s", error)
        return by_torch
    eyes = ByOnnxRuntime(graph)
    wanted, found = by_torch(trial), eyes(trial)
    alike = found.shape == wanted.shape and bool((found - wanted).abs().max() <= _ALIKE * wanted.std())
    return eyes if alike else by_torch


class _Features(nn.Module):
    """A network up to its head."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network.features(pixels)
