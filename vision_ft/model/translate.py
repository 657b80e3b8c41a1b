"""Networks as ONNX graphs."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import nn

# The oldest that has every operator of the backbones tested; older runtimes can then load the model too.
OPSET = 18


class Untranslatable(Exception):  # noqa: N818 - whoever asked knows whether it is an error
    """The exporter cannot translate a network; the message is its own reason."""


def translate(model: nn.Module, height: int, width: int, takes: str, gives: str) -> bytes:
    """Export through ``torch.export``, with any number of photos.

    Args:
        model: in eval mode, on the CPU; takes uint8 pixels (photos, height, width, 3).
        height: rows of the input.
        width: columns of the input.
        takes: the name of the graph's input.
        gives: the name of its output.

    Returns:
        The bytes of the ONNX file; weights inside.

    Raises:
        Untranslatable: it cannot be done.
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
                input_names=[takes],
                output_names=[gives],
                dynamic_shapes=({0: batch},),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise Untranslatable(str(error).strip().splitlines()[-1][:300]) from error
    finally:
        chatty.setLevel(level)
    data: bytes = program.model_proto.SerializeToString()
    return data
