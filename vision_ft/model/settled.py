"""Arithmetic on shapes that a traced graph carries along, done once: above all how much to pad.

A traced network works out from the size of its maps, for each batch again, how much to pad where it pads
as TensorFlow does. The size of photos is settled, so that all of this is known but for the number of photos. It costs
time in every engine, and a quantiser takes such sums for activations and rounds them: a network then pads otherwise
than it learnt.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

# Larger values are no shapes.
_SMALL = 64

_Values = dict[str, npt.NDArray[Any]]


def settle(graph: Any, parameters: Collection[str]) -> Any:
    """Put numbers in place of what hangs on known sizes alone.

    Args:
        graph: an ``onnx.ModelProto``.
        parameters: names of its initializers that stay as they are, and that nothing is worked out from.

    Returns:
        An ``onnx.ModelProto`` that computes the same.
    """
    import onnx
    from onnx import numpy_helper

    # With the padding of one layer known, so is the size of the next.
    while found := _found(graph, parameters):
        kept = [node for node in graph.graph.node if not set(node.output) <= found.keys()]
        del graph.graph.node[:]
        graph.graph.node.extend(kept)
        graph.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in found.items())
        # What was inferred is inferred anew.
        del graph.graph.value_info[:]
    used = {name for node in graph.graph.node for name in node.input} | {one.name for one in graph.graph.output}
    kept = [node for node in graph.graph.node if used & set(node.output) or node.op_type != "Shape"]
    del graph.graph.node[:]
    graph.graph.node.extend(kept)
    onnx.checker.check_model(graph)
    return graph


def _found(graph: Any, parameters: Collection[str]) -> _Values:
    """Values that follow from constants and known sizes, by their names; the outputs of whole nodes."""
    if not any(node.op_type == "Shape" for node in graph.graph.node):
        return {}
    sizes = _sizes(graph)
    known = _constants(graph, parameters)
    found: _Values = {}
    shape_of: dict[str, list[int | None]] = {}
    for node in graph.graph.node:
        if node.op_type == "Shape":
            shape_of[node.output[0]] = sizes.get(node.input[0], [])
            continue
        if node.op_type == "Gather" and node.input[0] in shape_of:
            value = _gathered(shape_of[node.input[0]], known.get(node.input[1]))
            values = {} if value is None else {node.output[0]: value}
        elif node.input and all(name in known for name in node.input if name):
            values = _evaluated(graph, node, {name: known[name] for name in node.input if name})
        else:
            continue
        found |= values
        known |= values
    return found


def _gathered(shape: list[int | None], at: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    """Some of a shape's sizes, where they are known."""
    if at is None or not shape:
        return None
    sizes = [shape[int(place)] for place in at.flat]
    return None if None in sizes else np.array(sizes, np.int64).reshape(at.shape)


def _evaluated(graph: Any, node: Any, inputs: dict[str, Any]) -> _Values:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    wanted = [helper.make_tensor_value_info(name, 0, None) for name in node.output]
    alone = helper.make_model(helper.make_graph([node], "one", given, wanted), opset_imports=graph.opset_import)
    values = [np.asarray(value) for value in ReferenceEvaluator(alone).run(None, inputs)]
    if any(value.size > _SMALL for value in values):
        return {}
    return dict(zip(node.output, values, strict=True))


def _constants(graph: Any, parameters: Collection[str]) -> _Values:
    """Small constants, but for parameters."""
    from onnx import numpy_helper

    found = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in graph.graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    found |= {
        one.name: numpy_helper.to_array(one)
        for one in graph.graph.initializer
        if one.name not in parameters and int(np.prod(one.dims)) <= _SMALL
    }
    return {name: value for name, value in found.items() if value.size <= _SMALL}


def _sizes(graph: Any) -> dict[str, list[int | None]]:
    """Of each tensor of a graph, its sizes; ``None`` for one that is not known."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(_hollow(graph), data_prop=True).graph
    found: dict[str, list[int | None]] = {}
    for info in (*inferred.value_info, *inferred.input):
        if info.type.tensor_type.HasField("shape"):
            dims = info.type.tensor_type.shape.dim
            found[info.name] = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    return found


def _hollow(graph: Any) -> Any:
    """A copy without the values of its parameters, whose shapes are enough; they may be gigabytes."""
    import onnx

    copy = onnx.ModelProto()
    copy.ir_version = graph.ir_version
    copy.opset_import.extend(graph.opset_import)
    copy.graph.name = graph.graph.name
    copy.graph.node.extend(graph.graph.node)
    copy.graph.output.extend(graph.graph.output)
    copy.graph.input.extend(graph.graph.input)
    for one in graph.graph.initializer:
        if int(np.prod(one.dims)) <= _SMALL:
            copy.graph.initializer.append(one)
        else:
            copy.graph.input.append(onnx.helper.make_tensor_value_info(one.name, one.data_type, list(one.dims)))
    return copy
