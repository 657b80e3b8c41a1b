"""The network as an ONNX graph: pixels in, probabilities out, everything in between inside."""

from __future__ import annotations

import torch
from torch import nn

from vision_ft.errors import ExportMismatch
from vision_ft.model.network import Network
from vision_ft.model.translate import Translation, Untranslatable
from vision_ft.spec import PROBABILITIES


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


def to_onnx(model: Exported, translation: Translation | None = None) -> bytes:
    """The model as an ONNX file.

    Args:
        model: in eval mode, on the CPU.
        translation: of a network that is built alike, to be used if it is made already.

    Raises:
        ExportMismatch: the exporter cannot translate the network.
    """
    if translation is not None and translation.made:
        try:
            return translation.part(PROBABILITIES, model.network, model.temperature)
        except Untranslatable:
            # Of one with adapters, perhaps, which are added up by now.
            pass
    try:
        return Translation(model.network).part(PROBABILITIES, model.network, model.temperature)
    except Untranslatable as error:
        raise ExportMismatch(f"this backbone cannot be exported to ONNX: {error}") from error
