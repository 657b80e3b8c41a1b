"""Where a backbone can be cut in two: what is frozen below runs once a view, what trains above runs every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import nn

Piece: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

# What pixels pass in turn before ``forward_head``, by timm's names, family by family. A sequence of blocks is as many
# pieces as it has blocks. A backbone that has all of these and computes something else is found out by trying.
_FAMILIES = (
    ("conv_stem", "bn1", "blocks", "conv_head", "bn2"),  # EfficientNet
    ("conv_stem", "bn1", "blocks"),  # MobileNet v3 and v4
    ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4"),  # ResNet
    ("stem", "s1", "s2", "s3", "s4", "final_conv"),  # RegNet
    ("stem", "stages", "norm_pre"),  # ConvNeXt
    ("stem", "stages", "norm"),  # ResNet v2, CoAtNet
    ("stem", "stages", "final_conv"),  # MobileViT
    ("patch_embed", "_pos_embed", "patch_drop", "norm_pre", "blocks", "norm"),  # ViT, DeiT, DINOv2
    ("patch_embed", "layers", "norm"),  # Swin
)


class Trunk:
    """A backbone as a sequence of pieces, each of which takes what the one before gives, and its head."""

    def __init__(self, backbone: nn.Module, pieces: Sequence[Piece]) -> None:
        """Take the pieces, from the bottom to the top."""
        self._backbone: Any = backbone
        self._pieces = tuple(pieces)

    @classmethod
    def of(cls, backbone: nn.Module, trial: torch.Tensor) -> Trunk | None:
        """The trunk of a timm classifier; ``None`` where it is none of the families that are known to be sequences.

        Args:
            backbone: in eval mode.
            trial: normalised pixels (photos, 3, height, width), on which the pieces must give what the whole gives.
        """
        for family in _FAMILIES:
            if not all(hasattr(backbone, name) for name in family):
                continue
            parts = [getattr(backbone, name) for name in family]
            pieces = [piece for part in parts for piece in (part if isinstance(part, nn.Sequential) else [part])]
            # What does nothing would only be another name for what it is given.
            trunk = cls(backbone, [piece for piece in pieces if not isinstance(piece, nn.Identity)])
            with torch.no_grad():
                try:
                    found, wanted = trunk.above(trunk.below(trial, trunk.pieces), trunk.pieces), backbone(trial)
                except (TypeError, ValueError, RuntimeError, AttributeError):
                    continue
            if found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-4, atol=1e-4):
                return trunk
        return None

    @property
    def pieces(self) -> int:
        """How many there are."""
        return len(self._pieces)

    def boundary(self) -> int:
        """How many pieces, from the bottom, take no gradient; 0 where something does that lies in no piece."""
        if any(parameter.requires_grad for parameter in self._backbone.parameters(recurse=False)):
            # A table of positions or a class token, which joins at the bottom.
            return 0
        for place, piece in enumerate(self._pieces):
            if isinstance(piece, nn.Module) and any(parameter.requires_grad for parameter in piece.parameters()):
                return place
        return len(self._pieces)

    def below(self, normal: torch.Tensor, boundary: int) -> torch.Tensor:
        """What reaches the boundary of normalised pixels (photos, 3, height, width)."""
        for piece in self._pieces[:boundary]:
            normal = piece(normal)
        return normal

    def all_below(self, normal: torch.Tensor) -> list[torch.Tensor]:
        """What comes out of each piece."""
        found = []
        for piece in self._pieces:
            normal = piece(normal)
            found.append(normal)
        return found

    def above(self, reached: torch.Tensor, boundary: int) -> torch.Tensor:
        """Logits (photos, classes) of what reached the boundary."""
        for piece in self._pieces[boundary:]:
            reached = piece(reached)
        logits: torch.Tensor = self._backbone.forward_head(reached)
        return logits
