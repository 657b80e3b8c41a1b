"""The network as an ONNX graph: pixels in, probabilities out, everything in between inside."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import nn

from vision_ft.errors import ExportMismatch
from vision_ft.model.network import Network
from vision_ft.spec import PIXELS, PROBABILITIES

# The oldest that has every operator of the backbones tested; older runtimes can then load the model too.
OPSET = 18


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
    """Export through ``torch.export``, with any number of photos.

    Args:
        model: in eval mode, on the CPU.
        height: rows of the input.
        width: columns of the input.

    Returns:
        The bytes of the ONNX file; weights inside.

    Raises:
        ExportMismatch: the exporter cannot translate the network.
    """
    # Two photos: with one, the exporter takes the batch for a constant.
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=65536)
    chatty = logging.getLogger("torch.onnx")
    level = chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=[PIXELS],
                output_names=[PROBABILITIES],
                dynamic_shapes={"pixels": {0: batch}},
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[-1][:300]
        raise ExportMismatch(f"this backbone cannot be exported to ONNX: {reason}") from error
    finally:
        chatty.setLevel(level)
    data: bytes = program.model_proto.SerializeToString()
    return data
