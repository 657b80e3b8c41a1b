"""Depthwise convolutions on a CPU, with gradients that do not take most of a training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.overrides import TorchFunctionMode

# The widest filter whose gradient oneDNN has a kernel of its own for; its general one is five to thirty times slower.
_WIDEST = 3
_PLAIN = (torch.float32, torch.bfloat16)


def quick_depthwise(device: torch.device) -> AbstractContextManager[Any]:
    """While it lasts, depthwise convolutions get their gradients the quick way on a CPU: the same, up to rounding.

    Those of which there is no quick way are computed in float32 under autocast: in bfloat16 the gradient of a wide
    filter takes up to ten times as long.
    """
    return _Quick() if device.type == "cpu" else nullcontext()


def exact(device: torch.device) -> AbstractContextManager[Any]:
    """While it lasts, everything is computed in float32 on a CPU, whatever the precision of the training."""
    return torch.autocast("cpu", enabled=False) if device.type == "cpu" else nullcontext()


class _Quick(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        return _conv2d(*args, **kwargs) if func is F.conv2d else func(*args, **kwargs)


def _conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> torch.Tensor:
    """``torch.nn.functional.conv2d``."""
    if input.ndim != 4 or not groups == input.shape[1] > 1:
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    half = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if half else input.dtype
    padded = padding if isinstance(padding, str) else _pair(padding)
    if dtype not in _PLAIN or not _has_quick_way(weight, _pair(stride), padded, _pair(dilation)):
        with torch.autocast("cpu", enabled=False):
            input = input.float() if half else input
            return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    found: torch.Tensor = _Depthwise.apply(
        input.to(dtype).contiguous(memory_format=torch.channels_last),
        weight.to(dtype),
        None if bias is None else bias.to(dtype),
        _pair(stride),
        padded,
    )
    return found


def _has_quick_way(weight: torch.Tensor, stride: Sequence[int], padding: Any, dilation: Sequence[int]) -> bool:
    width = weight.shape[3]
    if isinstance(padding, str) or tuple(dilation) != (1, 1) or stride[0] != stride[1]:
        return False
    if stride[0] > 1:
        return -(-width // stride[0]) <= _WIDEST
    return width <= _WIDEST or (width % 2 == 1 and padding[1] == width // 2)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of channels that lie last in memory."""

    @staticmethod
    def forward(
        ctx: Any,
        pixels: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: list[int],
        padding: list[int],
    ) -> torch.Tensor:
        """See ``torch.nn.functional.conv2d``."""
        ctx.save_for_backward(pixels, weight)
        ctx.stride, ctx.padding, ctx.biased = stride, padding, bias is not None
        return F.conv2d(pixels, weight, bias, stride, padding, groups=pixels.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        """Of pixels, weight and bias, as far as they are asked for."""
        pixels, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_pixels = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_pixels = _of_pixels(gradient, pixels, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _of_weight(gradient, pixels, weight, ctx.stride, ctx.padding).to(weight.dtype)
        if ctx.biased and ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3), dtype=torch.float32).to(weight.dtype)
        return of_pixels, of_weight, of_bias, None, None


def _of_pixels(
    gradient: torch.Tensor, pixels: torch.Tensor, weight: torch.Tensor, stride: list[int], padding: list[int]
) -> torch.Tensor:
    if stride[0] == 1 or gradient.dtype == torch.float32:
        return _backward(gradient, pixels, weight, stride, padding, 0)
    # With steps of two there is no kernel for bfloat16: twenty times as slow. Of the pixels only the shape matters.
    exact = torch.empty_like(pixels, dtype=torch.float32)
    return _backward(gradient.float(), exact, weight.float(), stride, padding, 0).to(gradient.dtype)


def _of_weight(
    gradient: torch.Tensor, pixels: torch.Tensor, weight: torch.Tensor, stride: list[int], padding: list[int]
) -> torch.Tensor:
    """By filters that are three columns wide at most, for which there is a kernel.

    Pixels that lie side by side become channels that lie one behind the other, which in memory they are already. Among
    every ``m`` of them, a filter of three columns sees what is ``m`` columns to the left, in place, and to the right.
    """
    width, step = weight.shape[3], stride[1]
    if width <= _WIDEST:
        return _backward(gradient, pixels, weight, stride, padding, 1)
    if step > 1:
        return _of_weight_in_steps(gradient, pixels, weight, step, padding)
    found = torch.empty(weight.shape, dtype=torch.float32)
    middle = width // 2
    for apart in range(1, middle + 1):
        side_by_side, gradients = (_folded(one, apart) for one in (pixels, gradient))
        columns = weight.new_empty(apart * len(weight), 1, weight.shape[2], 3)
        part = _backward(gradients, side_by_side, columns, [1, 1], [padding[0], 1], 1)
        left, centre, right = part.float().reshape(apart, *weight.shape[:3], 3).sum(0).unbind(-1)
        if apart == 1:
            found[..., middle] = centre
        found[..., middle - apart], found[..., middle + apart] = left, right
    return found


def _of_weight_in_steps(
    gradient: torch.Tensor, pixels: torch.Tensor, weight: torch.Tensor, step: int, padding: list[int]
) -> torch.Tensor:
    """Where a filter moves by as many columns as are folded, each of them meets every so many columns of the filter."""
    width = weight.shape[3]
    columns = -(-width // step)
    missing = (gradient.shape[3] + columns - 1) * step - pixels.shape[3] - padding[1]
    side_by_side = _folded(F.pad(pixels, (padding[1], missing)), step)
    gradients = torch.cat([gradient] * step, dim=1).contiguous(memory_format=torch.channels_last)
    filters = weight.new_empty(step * len(weight), 1, weight.shape[2], columns)
    part = _backward(gradients, side_by_side, filters, [step, 1], [padding[0], 0], 1)
    every = part.float().reshape(step, *weight.shape[:3], columns).movedim(0, -1)
    return every.flatten(-2)[..., :width]


def _folded(rows: torch.Tensor, together: int) -> torch.Tensor:
    """(photos, channels, height, width) as (photos, together × channels, height, width / together)."""
    rows = F.pad(rows, (0, -rows.shape[3] % together)) if rows.shape[3] % together else rows
    last = rows.permute(0, 2, 3, 1).contiguous()
    photos, height, width, channels = last.shape
    return last.view(photos, height, width // together, together * channels).permute(0, 3, 1, 2)


def _backward(
    gradient: torch.Tensor,
    pixels: torch.Tensor,
    weight: torch.Tensor,
    stride: list[int],
    padding: list[int],
    which: int,
) -> torch.Tensor:
    """PyTorch's own gradient: of pixels (0) or weight (1)."""
    wanted = [which == 0, which == 1, False]
    backward = torch.ops.aten.convolution_backward
    groups = pixels.shape[1]
    found: torch.Tensor = backward(
        gradient, pixels, weight, None, stride, padding, [1, 1], False, [0, 0], groups, wanted
    )[which]
    return found


def _pair(value: Any) -> list[int]:
    both = [value] if isinstance(value, int) else list(value)
    return both * 2 if len(both) == 1 else both
