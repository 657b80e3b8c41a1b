"""The network as an ONNX graph: pixels in, probabilities and novelty out, everything in between inside."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vision_ft.errors import ExportMismatch
from vision_ft.export.novelty import Novelty
from vision_ft.model.network import Network
from vision_ft.model.translate import Translation, Untranslatable


class Exported(nn.Module):
    """A network with what makes answers of its logits and features; what every format is compared against."""

    def __init__(self, network: Network, temperature: float = 1.0, novelty: Novelty | None = None) -> None:
        """Wrap a network.

        Args:
            network: in eval mode.
            temperature: divides the logits.
            novelty: of what the head sees, where there is such.
        """
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.novelty = novelty

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Answers to uint8 pixels (photos, height, width, 3).

        Returns:
            Probabilities (photos, classes) and, where there is such, novelty (photos,).
        """
        backbone: Any = self.network.backbone
        maps = backbone.forward_features(self.network.normalised(pixels))
        probabilities = torch.softmax(backbone.forward_head(maps) / self.temperature, dim=-1)
        if self.novelty is None:
            return (probabilities,)
        return probabilities, self.novelty(backbone.forward_head(maps, pre_logits=True))


def core_of(network: Network, translation: Translation | None = None) -> Any:
    """The network as an ``onnx.ModelProto``, without what makes answers of it: see :meth:`Translation.whole`.

    Args:
        network: in eval mode, on the CPU.
        translation: of a network that is built alike, to be used if it is made already.

    Raises:
        ExportMismatch: the exporter cannot translate the network.
    """
    if translation is not None and translation.made:
        try:
            return translation.whole(network)
        except Untranslatable:
            # Of one with adapters, perhaps, which are added up by now.
            pass
    try:
        return Translation(network).whole(network)
    except Untranslatable as error:
        raise ExportMismatch(f"this backbone cannot be exported to ONNX: {error}") from error
