"""MixUp and CutMix: two photos in one, and the label in their proportion."""

from __future__ import annotations

from typing import Any

import torch
from torchvision.transforms import v2


class Mixing:
    """Blends each photo of a batch with another of it, or pastes a box of another into it.

    MixUp after Zhang et al., https://arxiv.org/abs/1710.09412, CutMix after Yun et al.,
    https://arxiv.org/abs/1905.04899, both as torchvision has them. With both set, each batch gets the one or the other.
    """

    def __init__(self, classes: int, mixup: float, cutmix: float) -> None:
        """Say how strongly to mix.

        Args:
            classes: how many there are.
            mixup: both parameters of the Beta distribution that the proportion is drawn from; 0 for no MixUp.
            cutmix: the same for CutMix.
        """
        kinds: list[Any] = [(v2.MixUp, mixup), (v2.CutMix, cutmix)]
        self._ways = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha]

    def __bool__(self) -> bool:
        """Whether anything is mixed."""
        return bool(self._ways)

    def __call__(self, pixels: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix a batch, by torch's own random numbers.

        Args:
            pixels: uint8 (photos, height, width, 3).
            labels: int64 (photos,).

        Returns:
            float pixels of the same shape, from 0 to 255, and labels as shares: float (photos, classes).
        """
        way = self._ways[int(torch.randint(len(self._ways), ()))]
        mixed, shares = way(pixels.permute(0, 3, 1, 2).float(), labels)
        return mixed.permute(0, 2, 3, 1), shares
