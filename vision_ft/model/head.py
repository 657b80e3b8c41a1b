"""The head as the linear layer that it is: what reaches it, and its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

from vision_ft.model.network import Network
from vision_ft.model.stages import linear_heads

# How far the network's logits may lie from those of the linear layer it is taken for, in standard deviations; the
# network's may be computed in bfloat16.
_ALIKE = 0.1


@dataclass(frozen=True)
class Linear:
    """A linear classifier.

    Attributes:
        weight: float64 (classes, features).
        bias: float64 (classes,).
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """float64 (photos, classes) of inputs (photos, features)."""
        return inputs.double() @ self.weight.T + self.bias

    def to(self, device: torch.device) -> Linear:
        """The same on another device."""
        return Linear(self.weight.to(device), self.bias.to(device))

    @property
    def is_zero(self) -> bool:
        """Whether it says the same of every photo, each class equally likely."""
        return not (self.weight.any() or self.bias.any())


class LinearHead:
    """The last layer of a network, or the mean of two where a network has two, as one linear classifier."""

    def __init__(self, network: Network, layers: list[nn.Module]) -> None:
        """Use :meth:`of`, which looks whether a network can be seen like that."""
        self._network = network
        self._layers = layers

    @classmethod
    def of(cls, network: Network, pixels: torch.Tensor) -> Self | None:
        """The head of a network, or ``None`` where the logits are no linear function of what reaches the last layers.

        Args:
            network: in eval mode.
            pixels: some photos to look with, uint8 (photos, height, width, 3).
        """
        layers = linear_heads(network.backbone)
        head = cls(network, layers)
        with torch.no_grad(), head._trial_weights():
            reached, logits = head._run(pixels)
            outs = [getattr(layer, "weight", logits).shape[0] for layer in head._layers]
            if not outs or any(inputs.ndim != 2 for inputs in reached) or set(outs) != {logits.shape[1]}:
                return None
            ours = head.read().logits((torch.cat(reached, dim=1) / len(reached)).cpu())
        theirs = logits.cpu().double()
        off = (ours - theirs).abs().max() / theirs.std().clamp_min(1e-12)
        return head if bool(off < _ALIKE) else None

    def inputs(self, pixels: torch.Tensor) -> torch.Tensor:
        """What reaches the head, float32 (photos, features), of photos as :meth:`Network.forward` takes them."""
        with torch.no_grad():
            reached, _ = self._run(pixels)
        return torch.cat([one.float() for one in reached], dim=1) / len(reached)

    def read(self) -> Linear:
        """The head's weights as they are, on the CPU: not every device has float64."""
        layers: list[Any] = self._layers
        weights = [layer.weight.detach().cpu().double().flatten(1) for layer in layers]
        biases = [torch.zeros(len(weights[0])) if layer.bias is None else layer.bias.detach().cpu() for layer in layers]
        return Linear(torch.cat(weights, dim=1), torch.stack([bias.double() for bias in biases]).mean(0))

    def write(self, linear: Linear) -> None:
        """Give the head other weights, in place."""
        layers: list[Any] = self._layers
        parts = torch.split(linear.weight, [layer.weight[0].numel() for layer in layers], dim=1)
        with torch.no_grad():
            for layer, part in zip(layers, parts, strict=True):
                layer.weight.copy_(part.reshape(layer.weight.shape))
                if layer.bias is not None:
                    layer.bias.copy_(linear.bias)

    def _run(self, pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        caught: dict[nn.Module, torch.Tensor] = {}

        def catch(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            (found,) = inputs
            caught[layer] = found.flatten(1) if found.shape[2:] == (1, 1) else found

        hooks = [layer.register_forward_pre_hook(catch) for layer in self._layers]
        try:
            logits = self._network(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        # A layer that is only used while training is none of the head's.
        self._layers = [layer for layer in self._layers if layer in caught]
        return [caught[layer] for layer in self._layers], logits

    @contextmanager
    def _trial_weights(self) -> Iterator[None]:
        """Other weights for a while: from zeros, as a new head has, nothing could be seen."""
        tensors = [parameter for layer in self._layers for parameter in layer.parameters()]
        before = [tensor.detach().clone() for tensor in tensors]
        generator = torch.Generator().manual_seed(0)
        for tensor in tensors:
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        try:
            yield
        finally:
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
