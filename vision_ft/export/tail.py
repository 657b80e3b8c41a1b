"""What is put on a graph of features and logits, always in float32: temperature, softmax and novelty."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from vision_ft.export.novelty import Bank
from vision_ft.model.translate import FEATURES, LOGITS
from vision_ft.spec import NOVELTY, PLACES, PROBABILITIES

_TINY = 1e-12


def finished(core: Any, temperature: float, bank: Bank | None, scale: float) -> bytes:
    """A graph of answers.

    The same as :class:`~vision_ft.export.graph.Exported` computes; the gate sees to it.

    Args:
        core: an ``onnx.ModelProto`` with the outputs FEATURES and LOGITS, and perhaps PLACES.
        temperature: divides the logits.
        bank: of training photos; without one there is no novelty.
        scale: the distance that counts as novelty 1.

    Returns:
        The bytes of an ONNX file with the outputs PROBABILITIES (photos, classes), NOVELTY (photos,) where there is a
        bank, and PLACES where the core has it.
    """
    from onnx import TensorProto, helper

    model = copy.deepcopy(core)
    graph = model.graph
    classes = _last_axis(graph, LOGITS)
    places = [output for output in graph.output if output.name == PLACES]
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    tail = _Tail(graph)
    tail.node("Div", [LOGITS, tail.constant("temperature", np.float32(temperature))], "cooled")
    tail.node("Softmax", [tail.named("cooled")], PROBABILITIES, axis=-1)
    outputs = [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [batch, classes])]
    if bank is not None:
        _add_novelty(tail, bank, scale)
        outputs.append(helper.make_tensor_value_info(NOVELTY, TensorProto.FLOAT, [batch]))
    del graph.output[:]
    graph.output.extend([*outputs, *places])
    data: bytes = model.SerializeToString()
    return data


def _add_novelty(tail: _Tail, bank: Bank, scale: float) -> None:
    from onnx import TensorProto

    last = tail.constant("last", np.array([1], np.int64))
    tail.node("ReduceL2", [FEATURES, last], "length", keepdims=1)
    tail.node("Max", [tail.named("length"), tail.constant("tiny", np.float32(_TINY))], "length_or_so")
    tail.node("Div", [FEATURES, tail.named("length_or_so")], "unit")
    # In eight bits in the file, in float32 once it is loaded.
    tail.node("Cast", [tail.constant("bank", np.ascontiguousarray(bank.rows.T))], "bank_float", to=TensorProto.FLOAT)
    tail.node("MatMul", [tail.named("unit"), tail.named("bank_float")], "alike_scaled")
    tail.node("Mul", [tail.named("alike_scaled"), tail.constant("bank_scales", bank.scales)], "alike")
    neighbours = bank.neighbours
    tail.node("TopK", [tail.named("alike"), tail.constant("k", np.array([neighbours], np.int64))], "near", "places_of")
    tail.node("Gather", [tail.named("near"), tail.constant("at", np.int64(neighbours - 1))], "nearest", axis=1)
    # On the unit sphere: |a - b|² = 2 - 2 a·b.
    tail.node("Mul", [tail.named("nearest"), tail.constant("minus_two", np.float32(-2))], "minus_twice")
    tail.node("Add", [tail.named("minus_twice"), tail.constant("two", np.float32(2))], "square")
    tail.node("Max", [tail.named("square"), tail.constant("zero", np.float32(0))], "square_or_zero")
    tail.node("Sqrt", [tail.named("square_or_zero")], "distance")
    tail.node("Div", [tail.named("distance"), tail.constant("scale", np.float32(scale))], NOVELTY)


class _Tail:
    """Nodes and constants that are added to a graph, under names of their own."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def named(self, name: str) -> str:
        return name if name in (PROBABILITIES, NOVELTY) else f"tail/{name}"

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), self.named(name)))
        return self.named(name)

    def node(self, kind: str, inputs: list[str], *outputs: str, **settings: Any) -> None:
        from onnx import helper

        names = [self.named(output) for output in outputs]
        self._graph.node.append(helper.make_node(kind, inputs, names, name=f"tail/{outputs[0]}_{kind}", **settings))


def _last_axis(graph: Any, name: str) -> int:
    (found,) = [output for output in graph.output if output.name == name]
    return int(found.type.tensor_type.shape.dim[-1].dim_value)
