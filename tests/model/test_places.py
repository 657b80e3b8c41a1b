"""The head, asked of each place alone."""

from __future__ import annotations

import pytest
import torch

from tests.model.test_trunk import network
from vision_ft.model.places import Places

# Height and width in pixels, rows and columns of the last maps.
GRIDS = {
    "resnet18": (64, 2),
    "tf_efficientnet_lite0": (64, 2),
    "convnext_atto": (64, 2),
    "vit_tiny_patch16_224": (64, 4),
    "test_vit": (64, 4),
}


@pytest.mark.parametrize("name", sorted(GRIDS))
def test_every_place_has_its_logits(name: str) -> None:
    size, grid = GRIDS[name]
    net = network(name, size)
    normal = net.normalised(torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8))
    places = Places.of(net.backbone, normal)
    assert places is not None
    with torch.no_grad():
        found, logits = places(net.backbone.forward_features(normal)), net.backbone(normal)
    assert found.shape == (3, grid, grid, 3)
    if name in ("resnet18", "tf_efficientnet_lite0"):
        # Where pooling averages and all after it is linear, so do the logits.
        torch.testing.assert_close(found.mean((1, 2)), logits, rtol=1e-4, atol=1e-5)


def test_what_has_no_places_has_no_map() -> None:
    class Flat(torch.nn.Module):
        num_features = 8

        def forward_features(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean((2, 3))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.forward_features(pixels)

    assert Places.of(Flat(), torch.zeros(2, 3, 8, 8)) is None
