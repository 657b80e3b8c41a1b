"""The quick exporter does what it can, and what it gets wrong the thorough one does."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tests.model.test_trunk import SEQUENCES, network
from vision_ft.model import exporters
from vision_ft.model.exporters import Untranslatable, to_graph
from vision_ft.model.translate import FEATURES, Translation


def answers(model: nn.Module, photos: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """What a module says of some photos, and what its graph says of them."""
    example = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    graph = to_graph(model.eval(), "pixels", example, ["first", "second"])
    pixels = torch.randint(0, 256, (photos, 4, 4, 3), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = model(pixels)
    return list(zip(session.run(None, {"pixels": pixels.numpy()}), (one.numpy() for one in wanted), strict=True))


class Counting(nn.Module):
    """Says how many photos there are by a number that tracing takes for a constant."""

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total = pixels.float().mean((1, 2, 3)) / 255
        return total, total + torch.sym_float(pixels.shape[0])


class Refused(nn.Module):
    """Does what has no operator in ONNX."""

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        matrices = pixels.float()[..., 0]
        return torch.linalg.eigvals(matrices).real, matrices


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_tracing_serves_the_families(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> None:
        raise AssertionError("the thorough exporter was needed")

    monkeypatch.setattr(exporters, "_captured", slow)
    net = network(name, SEQUENCES[name][0])
    assert Translation(net).part(FEATURES, net)


def test_tensors_that_were_alike_when_it_was_traced_need_not_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """All norms of a fresh network have the same values; the quick exporter keeps one of them."""

    def slow(*_: object) -> None:
        raise AssertionError("the thorough exporter was needed")

    monkeypatch.setattr(exporters, "_captured", slow)
    net = network("resnet18", 32)
    translation = Translation(net)
    assert translation.part(FEATURES, net)
    with torch.no_grad():
        for tensor in (*net.backbone.parameters(), *net.backbone.buffers()):
            if tensor.is_floating_point():
                tensor.mul_(1 + 0.2 * torch.rand_like(tensor))
    session = onnxruntime.InferenceSession(translation.part(FEATURES, net), providers=["CPUExecutionProvider"])
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        wanted = net.features(pixels).numpy()
    (found,) = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_what_tracing_gets_wrong_is_translated_all_the_same() -> None:
    for found, wanted in answers(Counting(), photos=5):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_what_neither_can_do_says_so() -> None:
    with pytest.raises(Untranslatable, match=r"\S"):
        answers(Refused(), photos=2)
