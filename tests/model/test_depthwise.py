"""Gradients of depthwise convolutions: the same as PyTorch's, without the kernels that are slow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_ft.model import depthwise
from vision_ft.model.depthwise import exact, quick_depthwise

CPU = torch.device("cpu")
HALF = pytest.param(torch.bfloat16, 2e-2, id="bfloat16")
WHOLE = pytest.param(torch.float32, 1e-4, id="float32")


def gradients(layer: nn.Conv2d, pixels: torch.Tensor, of: torch.Tensor) -> list[torch.Tensor]:
    """Output, and the gradients of pixels, weight and bias."""
    pixels = pixels.clone().requires_grad_()
    found = layer(pixels)
    wanted = [pixels, *layer.parameters()]
    return [found.detach(), *torch.autograd.grad(found, wanted, of.to(found.dtype))]


@pytest.mark.parametrize(("dtype", "most"), [HALF, WHOLE])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(14, 14), (7, 7), (9, 12), (17, 17)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        # As in MobileNet and EfficientNet, with their own padding and with TensorFlow's; in ConvNeXt; and odd ones.
        (3, 1, 1), (5, 1, 2), (7, 1, 3), (9, 1, 4), (3, 2, 1), (5, 2, 2), (5, 2, 0), (3, 2, 0), (7, 2, 3),
        ((5, 3), 1, (2, 1)), ((3, 5), 1, (1, 2)), ((1, 7), 1, (0, 3)), ((3, 5), 2, (1, 2)), (5, 3, 2),
        # Of which there is no quick way.
        (5, 1, 1), (4, 1, 2), (7, (1, 2), 3), ((3, 7), 2, 3),
    ],
)  # fmt: skip
def test_the_same_gradients(
    kernel: Any, stride: Any, padding: Any, size: tuple[int, int], bias: bool, dtype: torch.dtype, most: float
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, kernel, stride, padding, groups=6, bias=bias)
    pixels = torch.randn(4, 6, *size).contiguous(memory_format=torch.channels_last)
    of = torch.randn_like(layer(pixels))
    wanted = gradients(layer, pixels, of)
    with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16), quick_depthwise(CPU):
        found = gradients(layer, pixels, of)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert (one.float() - other).norm() <= most * other.norm()


@pytest.mark.parametrize(("dtype", "most"), [HALF, WHOLE])
def test_channels_that_lie_first_and_gradients_that_are_not_asked_for(dtype: torch.dtype, most: float) -> None:
    pixels, weight = torch.randn(2, 4, 8, 8), torch.randn(4, 1, 5, 5)
    for wants_pixels, wants_weight in ((True, False), (False, True)):
        one, other = pixels.clone().requires_grad_(wants_pixels), weight.clone().requires_grad_(wants_weight)
        asked = one if wants_pixels else other
        (wanted,) = torch.autograd.grad(F.conv2d(one, other, padding=2, groups=4).square().sum(), asked)
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16), quick_depthwise(CPU):
            found = F.conv2d(one, other, padding=2, groups=4)
        (got,) = torch.autograd.grad(found.float().square().sum(), asked)
        assert (got - wanted).norm() <= most * wanted.norm()


def test_what_kind_of_numbers_comes_out() -> None:
    photos = torch.randn(2, 8, 6, 6)
    depthwise_one, grouped = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, groups=4)
    odd = nn.Conv2d(8, 8, 5, groups=8, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        with quick_depthwise(CPU):
            assert depthwise_one(photos).dtype == torch.bfloat16
            assert grouped(photos).dtype == torch.bfloat16
            # PyTorch's gradient of it would be slow in bfloat16.
            assert odd(photos.bfloat16()).dtype == torch.float32
        with exact(CPU):
            assert grouped(photos).dtype == torch.float32
    with quick_depthwise(CPU):
        assert depthwise_one(photos).dtype == torch.float32
        assert depthwise_one.double()(photos.double()).dtype == torch.float64
        # Several filters a channel, and padding in words.
        assert nn.Conv2d(8, 16, 3, groups=8)(photos).shape == (2, 16, 4, 4)
        assert nn.Conv2d(8, 8, 3, groups=8, padding="same")(photos).shape == photos.shape
        # A photo without a batch, a batch without a photo, and a number for both sides.
        assert depthwise_one.float()(torch.randn(8, 8, 8)).shape == (8, 6, 6)
        for step in (1, 2):
            none = torch.randn(0, 8, 6, 6, requires_grad=True)
            F.conv2d(none, torch.randn(8, 1, 5, 5, requires_grad=True), None, step, (2,), groups=8).sum().backward()


def test_the_slow_kernels_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters more than three columns wide, and bfloat16 with steps of two: what PyTorch takes most of its time for."""
    seen = []
    real = depthwise._backward

    def backward(gradient: torch.Tensor, pixels: torch.Tensor, weight: torch.Tensor, *more: Any) -> torch.Tensor:
        seen.append((more[-1], weight.shape[3], more[0][0], gradient.dtype))
        return real(gradient, pixels, weight, *more)

    monkeypatch.setattr(depthwise, "_backward", backward)
    for stride in (1, 2):
        layer = nn.Conv2d(6, 6, 5, stride, 2, groups=6)
        with torch.autocast("cpu", torch.bfloat16), quick_depthwise(CPU):
            gradients(layer, torch.randn(2, 6, 14, 14), torch.ones(2, 6, 14 // stride, 14 // stride))
    assert [one for one in seen if one[0] == 1]
    assert all(width <= 3 for which, width, *_ in seen if which == 1)
    assert (0, 5, 2, torch.float32) in seen
    assert (0, 5, 1, torch.bfloat16) in seen
