"""What hangs on known sizes alone is worked out once."""

from __future__ import annotations

import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from tests.model.test_trunk import network
from vision_ft.model.settled import settle
from vision_ft.model.translate import LOGITS, Translation


@pytest.mark.parametrize("size", [64, 75])
def test_no_padding_is_worked_out_photo_by_photo(size: int) -> None:
    net = network("tf_efficientnet_lite0", size)
    graph = Translation(net).whole(net).graph
    assert "Ceil" not in {node.op_type for node in graph.node}
    # One Shape at most: the number of photos.
    assert sum(node.op_type == "Shape" for node in graph.node) <= 1
    assert {node.op_type for node in graph.node} >= {"Conv", "Gemm"}
    part = Translation(net).part(LOGITS, net)
    pixels = torch.randint(0, 256, (5, size, size, 3), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0]), net(pixels), rtol=1e-3, atol=1e-5
        )


def sum_of_sizes(taken: int) -> onnx.ModelProto:
    """Adds one size of what goes in, and a parameter, to all of it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Constant", [], ["at"], value=helper.make_tensor("at", TensorProto.INT64, [], [taken])),
        helper.make_node("Gather", ["shape", "at"], ["size"]),
        helper.make_node("Cast", ["size"], ["size_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["size_float", "weight"], ["both"]),
        helper.make_node("Add", ["x", "both"], ["y"]),
    ]
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1], [0.5])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 7]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "sums", ends[:1], ends[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.mark.parametrize("taken", [0, 1])
def test_the_number_of_photos_and_parameters_are_left_alone(taken: int) -> None:
    before = sum_of_sizes(taken)
    after = settle(sum_of_sizes(taken), {"weight"})
    kinds = [node.op_type for node in after.graph.node]
    assert kinds == (
        ["Shape", "Constant", "Gather", "Cast", "Add", "Add"] if taken == 0 else ["Constant", "Add", "Add"]
    )
    assert any(one.name == "weight" for one in after.graph.initializer)
    for photos in (1, 3):
        given = {"x": torch.rand(photos, 7).numpy()}
        found = [
            onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, given)[
                0
            ]
            for one in (before, after)
        ]
        assert (found[0] == found[1]).all()
