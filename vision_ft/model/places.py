"""What a network's head would say of each place of its last maps alone: a class-activation map, not yet drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Places:
    """The head, applied to one place at a time.

    Where the head pools by averaging and is linear after that, the logits of the places are on average those of the
    photo: the class-activation map of Zhou et al. 2016 (https://arxiv.org/abs/1512.04150), the bias included. Where it
    is not (a norm after pooling, a class token), they are what the head makes of a photo that looks like this place
    everywhere.
    """

    def __init__(self, backbone: nn.Module, layout: str, prefix: int) -> None:
        """Use :meth:`of`, which finds out the layout.

        Args:
            backbone: a timm classifier.
            layout: of the maps: ``"channels"`` (photos, channels, rows, columns), ``"last"`` (photos, rows, columns,
                channels) or ``"tokens"`` (photos, tokens, channels).
            prefix: tokens that stand for no place.
        """
        self._backbone: Any = backbone
        self._layout = layout
        self._prefix = prefix

    @classmethod
    def of(cls, backbone: Any, trial: torch.Tensor) -> Places | None:
        """The head by places; ``None`` where its maps have no places, or it takes no place alone.

        Args:
            backbone: in eval mode.
            trial: normalised pixels (photos, 3, height, width).
        """
        with torch.no_grad():
            try:
                maps, logits = backbone.forward_features(trial), backbone(trial)
                layout = _layout(backbone, maps)
                if layout is None:
                    return None
                places = cls(backbone, layout, int(getattr(backbone, "num_prefix_tokens", 0)))
                found = places(maps)
            except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
                return None
        good = found.ndim == 4 and found.shape[-1] == logits.shape[-1] and bool(found.isfinite().all())
        return places if good else None

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits (photos, rows, columns, classes) of the maps that ``forward_features`` gives."""
        if self._layout == "channels":
            channels, rows, columns = maps.shape[1:]
            alone = maps.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
        elif self._layout == "last":
            rows, columns, channels = maps.shape[1:]
            alone = maps.reshape(-1, 1, 1, channels)
        else:
            channels = maps.shape[-1]
            rows, columns = self._backbone.patch_embed.grid_size
            # In every token's place, for the head takes the one or averages over the others.
            alone = maps[:, self._prefix :].reshape(-1, 1, channels).expand(-1, self._prefix + 1, channels)
        logits: torch.Tensor = self._backbone.forward_head(alone)
        return logits.reshape(-1, rows, columns, logits.shape[-1])


def _layout(backbone: Any, maps: torch.Tensor) -> str | None:
    width = getattr(backbone, "num_features", 0)
    if maps.ndim == 4 and maps.shape[1] == width:
        return "channels"
    if maps.ndim == 4 and maps.shape[3] == width:
        return "last"
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    prefix = int(getattr(backbone, "num_prefix_tokens", 0))
    if maps.ndim == 3 and grid is not None and maps.shape[1] == prefix + grid[0] * grid[1]:
        return "tokens"
    return None
