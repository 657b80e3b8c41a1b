"""The network in eight-bit numbers: a quarter of the size, and faster where the processor has instructions for it."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision_ft.export.part import Pixels
from vision_ft.model.translate import FEATURES
from vision_ft.spec import PIXELS

# What holds the weights, and what lies between.
_WEIGHTED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Recipe:
    """A way to quantise.

    Attributes:
        method: how the range of an activation is taken from the photos: ``MinMax`` or ``Percentile``, which leaves the
            rarest out.
        in_float: how many layers stay in float32, counted from the pixels; they are few in weights and hold the most.
    """

    method: str = "MinMax"
    in_float: int = 0


# Tried in turn, until one passes the gate.
RECIPES = (Recipe(), Recipe("Percentile"), Recipe("MinMax", 1), Recipe("Percentile", 3))


def quantised(core: Any, photos: Pixels, recipe: Recipe) -> Any:
    """A graph of features and logits with its layers below the features in int8.

    Static quantisation with pairs of QuantizeLinear and DequantizeLinear (Jacob et al. 2018,
    https://arxiv.org/abs/1712.05877): weights by channel and symmetric, activations in unsigned eight bits whose range
    is taken from training photos. The head, the pooling's result and all that follows stay in float32.

    Args:
        core: an ``onnx.ModelProto``.
        photos: uint8 (photos, height, width, 3), to take ranges from.
        recipe: how.

    Returns:
        An ``onnx.ModelProto`` with the same inputs and outputs.

    Raises:
        Exception: ONNX Runtime cannot quantise this graph; of whatever type.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    root = logging.getLogger()
    level = root.level
    # It advises what is done already.
    root.setLevel(logging.ERROR)
    try:
        # Of what it does it tells by print.
        with (
            tempfile.TemporaryDirectory() as folder,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            out = Path(folder) / "int8.onnx"
            model = onnx.shape_inference.infer_shapes(_simplified(core, Path(folder) / "simple.onnx"))
            quantize_static(
                model,
                str(out),
                _Reader(photos),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod[recipe.method],
                nodes_to_exclude=sorted(_kept_in_float(model.graph, recipe.in_float)),
                extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
            )
            return onnx.load(out)
    finally:
        root.setLevel(level)


def _simplified(core: Any, place: Path) -> Any:
    """With each BatchNorm folded into its convolution, without which a scale of weights means little."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(place)
    onnxruntime.InferenceSession(core.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(place)


def _kept_in_float(graph: Any, first: int) -> Iterator[str]:
    """Names of nodes: all that do not lead to the features, those before the first layer, and some layers more."""
    made_by = {output: node for node in graph.node for output in node.output}
    leading, waiting = set(), [FEATURES]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and node.name not in leading:
            leading.add(node.name)
            waiting += node.input
    weighted = 0
    for node in graph.node:
        weighted += node.op_type in _WEIGHTED and node.name in leading
        if node.name not in leading or weighted == 0 or (node.op_type in _WEIGHTED and weighted <= first):
            yield node.name


class _Reader:
    """Photos one by one, as the quantiser asks for them: it stacks what it gets, and batches would have to be alike."""

    def __init__(self, photos: Pixels) -> None:
        self._left = iter(photos)

    def get_next(self) -> Mapping[str, Pixels] | None:
        photo = next(self._left, None)
        return None if photo is None else {PIXELS: photo[None]}
