"""Where a network looks: Grad-CAM (Selvaraju et al., https://arxiv.org/abs/1610.02391), by captum.

Captum and not grad-cam: it is PyTorch's own, brings no package that is not here already, and what it asks for, a layer
whose output is maps with channels first, a seam in the network gives it for every family of backbones.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vision_ft.model.network import Network

_log = logging.getLogger(__name__)
_BATCH = 8
_CALLED = ("stages", "blocks", "layers")


class Unmapped(Exception):  # noqa: N818 - whoever asked knows whether it is an error
    """A backbone whose features lie in no grid that is known."""


@dataclass(frozen=True)
class _Place:
    """Where a network is looked into.

    Attributes:
        module: its name in the backbone.
        before: whether at what goes into it, and not at what comes out.
    """

    module: str
    before: bool


class _Explained(nn.Module):
    """A network with the seam in it, whose scores are what is explained."""

    def __init__(self, network: Network, place: _Place) -> None:
        super().__init__()
        self.network = network
        self.maps = nn.Identity()
        self._place = place

    def forward(self, normal: torch.Tensor) -> torch.Tensor:
        """Log-odds (photos, classes) of each class against all others, of normalised pixels.

        Unlike a probability they go on rising where the network is sure, and unlike a logit they do not rise when the
        other classes' rise as much.
        """
        with self._seam():
            logits = self.network.backbone(normal)
        classes = logits.shape[1]
        others = logits[:, None, :].masked_fill(torch.eye(classes, dtype=torch.bool, device=logits.device), -torch.inf)
        scores: torch.Tensor = logits - others.logsumexp(dim=2)
        return scores

    @contextmanager
    def _seam(self) -> Iterator[None]:
        module = self.network.backbone.get_submodule(self._place.module)

        def before(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return (self._through(args[0]), *args[1:])

        def after(_: nn.Module, __: Any, found: torch.Tensor) -> torch.Tensor:
            return self._through(found)

        hook = module.register_forward_pre_hook(before) if self._place.before else module.register_forward_hook(after)
        try:
            yield
        finally:
            hook.remove()

    def _through(self, features: torch.Tensor) -> torch.Tensor:
        """Let features pass as maps (photos, channels, height, width), and go on as they were."""
        if features.ndim == 4:
            if not _has_channels_last(self.network.backbone):
                return self._seen(features)
            return self._seen(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        extra, rows, columns = _grid(self.network, features)
        patches = features[:, extra:].transpose(1, 2)
        patches = patches.reshape(*patches.shape[:2], rows, columns)
        seen = self._seen(patches).flatten(2).transpose(1, 2)
        return torch.cat([features[:, :extra], seen], dim=1)

    def _seen(self, maps: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.maps(maps)
        return found


def heat_maps(
    network: Network, pixels: Sequence[npt.NDArray[np.uint8]], classes: Sequence[int]
) -> npt.NDArray[np.float32]:
    """What on some photos speaks for a class.

    Args:
        network: in eval mode, on the CPU; nothing of it is changed.
        pixels: framed photos, each uint8 (height, width, 3).
        classes: the class that is asked about, of each photo.

    Returns:
        float32 (photos, rows, columns), the coarse grid of the network's last maps, 0 or more; 1 is the hottest place
        of each photo. All 0 where nothing speaks for the class.

    Raises:
        Unmapped: the backbone's features lie in no grid that is known.
    """
    place = _place_of(network)
    found = []
    for start in range(0, len(pixels), _BATCH):
        here = slice(start, start + _BATCH)
        batch = torch.from_numpy(np.stack(pixels[here]))
        found.append(_explain(network, place, batch, torch.tensor(list(classes[here]))))
    maps = torch.cat(found)
    hottest = maps.amax(dim=(1, 2), keepdim=True)
    return (maps / hottest.clamp_min(torch.finfo(maps.dtype).tiny)).numpy()


def _explain(
    network: Network, place: _Place, pixels: torch.Tensor, classes: torch.Tensor, *, against: bool = False
) -> torch.Tensor:
    """Maps (photos, rows, columns) of uint8 pixels; with ``against``, below 0 where something speaks against it."""
    from captum.attr import LayerGradCam

    explained = _Explained(network, place)
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    # Gradients are of the maps alone: those of the weights would be computed for nothing.
    network.requires_grad_(False)
    try:
        with warnings.catch_warnings():
            # That it lets the pixels have gradients, which is how a network without any other comes by those of maps.
            warnings.filterwarnings("ignore", message="Input Tensor .* did not already require gradients")
            maps = LayerGradCam(explained, explained.maps).attribute(
                network.normalised(pixels), target=classes, relu_attributions=not against
            )
    finally:
        for parameter, needed in zip(network.parameters(), wanted, strict=True):
            parameter.requires_grad_(needed)
    found: torch.Tensor = maps[:, 0].detach().float()
    return found


def _place_of(network: Network) -> _Place:
    """What comes out of the last stage; of transformers that look at a class token, what goes into the last block.

    Behind its last block, such a network no longer looks at the patches, and nothing there could speak for a class.

    Raises:
        Unmapped: neither has gradients that lie in a grid.
    """
    trial = network.noise()[:1]
    places = [_Place(name, before) for name in _last_blocks(network) for before in (False, True)]
    for place in places:
        try:
            if _explain(network, place, trial, torch.tensor([0]), against=True).any():
                return place
        except (Unmapped, RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            _log.debug("no heat-maps at %s: %s", place, error)
    raise Unmapped(f"the features of {type(network.backbone).__name__} lie in no grid that is known")


def _last_blocks(network: Network) -> list[str]:
    """The last stage and, of backbones that do not say how they are built, what is usually called so."""
    names = [network.stages[-2]]
    for called in _CALLED:
        blocks = getattr(network.backbone, called, None)
        if isinstance(blocks, (nn.Sequential, nn.ModuleList)) and len(blocks):
            names.append(f"{called}.{len(blocks) - 1}")
    known = dict(network.backbone.named_modules())
    return [name for name in dict.fromkeys(names) if name in known]


def _has_channels_last(backbone: nn.Module) -> bool:
    return str(getattr(backbone, "output_fmt", "NCHW")).endswith("NHWC")


def _grid(network: Network, tokens: torch.Tensor) -> tuple[int, int, int]:
    """How many tokens stand in front of the patches, and the patches' rows and columns.

    Raises:
        Unmapped: the patches are no grid.
    """
    backbone: Any = network.backbone
    framing = network.preprocessing.framing
    declared = int(getattr(backbone, "num_prefix_tokens", 0) or 0)
    known = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    # Some add the class token behind their last block of patches.
    for extra in dict.fromkeys((declared, 0)):
        patches = tokens.shape[1] - extra
        # Of a pyramid, whose last stage has fewer than it began with, in the proportions of the photo.
        rows = max(1, round(math.sqrt(patches * framing.height / framing.width)))
        for grid in (known, (rows, patches // rows)):
            if grid is not None and grid[0] * grid[1] == patches:
                return extra, grid[0], grid[1]
    raise Unmapped(f"{tokens.shape[1]} tokens are no grid")
