"""The network as an ONNX graph: pixels in, probabilities out, everything in between inside."""

from __future__ import annotations

import torch
from torch import nn

from vision_ft.errors import ExportMismatch
from vision_ft.model.network import Network
from vision_ft.model.translate import Untranslatable, translate
from vision_ft.spec import PIXELS, PROBABILITIES


class Exported(nn.Module):
    """A network with what turns logits into probabilities; the module that is exported, and compared against."""

    def __init__(self, network: Network, temperature: float) -> None:
        """Wrap a network.

        Args:
            network: in eval mode.
            temperature: divides the logits.
        """
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Probabilities (photos, classes) of uint8 pixels (photos, height, width, 3)."""
        return torch.softmax(self.network(pixels) / self.temperature, dim=-1)


def to_onnx(model: Exported, height: int, width: int) -> bytes:
    """The model as an ONNX file, for photos of that size.

    Raises:
        ExportMismatch: the exporter cannot translate the network.
    """
    try:
        return translate(model, height, width, PIXELS, PROBABILITIES)
    except Untranslatable as error:
        raise ExportMismatch(f"this backbone cannot be exported to ONNX: {error}") from error
