"""Depthwise convolutions in float32 where the rest of a network computes in bfloat16 on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.overrides import TorchFunctionMode


def exact_depthwise(device: torch.device) -> AbstractContextManager[Any]:
    """While it lasts, depthwise convolutions are computed in float32, if autocast would have them otherwise on a CPU.

    PyTorch's kernel for their weights' gradient takes two to three times as long in bfloat16 as in float32, which is
    more than everything else gains from bfloat16.
    """
    return _Exact() if device.type == "cpu" and torch.is_autocast_enabled("cpu") else nullcontext()


def exact(device: torch.device) -> AbstractContextManager[Any]:
    """While it lasts, everything is computed in float32 on a CPU, whatever the precision of the training."""
    return torch.autocast("cpu", enabled=False) if device.type == "cpu" else nullcontext()


class _Exact(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.conv2d and _is_depthwise(args, kwargs):
            with torch.autocast("cpu", enabled=False):
                return func(args[0].float(), *args[1:], **kwargs)
        return func(*args, **kwargs)


def _is_depthwise(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    # conv2d(input, weight, bias, stride, padding, dilation, groups), as timm and torch.nn call it.
    groups = kwargs.get("groups", args[6] if len(args) > 6 else 1)
    return len(args) > 1 and groups > 1 and groups == args[0].shape[1]
