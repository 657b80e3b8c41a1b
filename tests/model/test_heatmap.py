"""Where a network looks: on the half of the picture with the animal, whatever the backbone is built of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vision_ft.framing import Pixels
from vision_ft.imaging import read
from vision_ft.model.backbone import build, create, preprocessing_of
from vision_ft.model.heatmap import Unmapped, heat_maps
from vision_ft.model.network import Network
from vision_ft.model.stages import linear_heads


@pytest.fixture(scope="module")
def cats_or_dogs() -> Network:
    """ImageNet's own cats and dogs, without any training: it knows them well enough."""
    built = build("tf_efficientnet_lite0", "builtin:", ["cat", "dog"])
    return Network(built.module, built.preprocessing).eval()


def on_one_side(path: Path, network: Network, side: int, rng: np.random.Generator) -> Pixels:
    """The whole photo on the left (0) or the right (1) half, and a plain, slightly noisy ground on the other."""
    framing = network.preprocessing.framing
    half = framing.width // 2
    photo = Image.fromarray(read(path, framing)).resize((half, framing.height))
    ground = rng.normal(rng.uniform(80, 180, 3), 6, (framing.height, framing.width, 3))
    canvas = np.clip(ground, 0, 255).astype(np.uint8)
    canvas[:, side * half : side * half + half] = np.asarray(photo)
    return canvas


def test_the_heat_lies_on_the_half_with_the_animal(cats_or_dogs: Network, cats_dogs: Path) -> None:
    rng = np.random.default_rng(0)
    views, classes, sides = [], [], []
    for number in range(200, 212):
        for label, kind in enumerate(("cat", "dog")):
            for side in (0, 1):
                views.append(on_one_side(cats_dogs / kind / f"{kind}.{number}.jpg", cats_or_dogs, side, rng))
                classes.append(label)
                sides.append(side)
    maps = heat_maps(cats_or_dogs, views, classes)
    assert maps.shape == (48, 7, 7)
    warmth = maps.sum(axis=(1, 2))
    columns = maps.sum(axis=1)
    # The middle column lies on both.
    left, right = columns[:, :3].sum(axis=1), columns[:, 4:].sum(axis=1)
    with_animal = np.where(np.array(sides) == 1, right, left) / np.maximum(left + right, 1e-9)
    assert (warmth > 0).sum() >= 44, "a photo on which nothing speaks for its class is taken for the other"
    assert np.median(with_animal[warmth > 0]) > 0.85
    assert (with_animal[warmth > 0] > 0.6).mean() >= 0.9


def test_two_animals_are_told_apart(cats_or_dogs: Network, cats_dogs: Path) -> None:
    """A cat on one half and a dog on the other: what is asked about decides where it is warm."""
    framing = cats_or_dogs.preprocessing.framing
    half = framing.width // 2
    views = []
    for number in range(220, 230):
        canvas = np.zeros((framing.height, framing.width, 3), np.uint8)
        for place, kind in enumerate(("cat", "dog")):
            photo = Image.fromarray(read(cats_dogs / kind / f"{kind}.{number}.jpg", framing))
            canvas[:, place * half : place * half + half] = np.asarray(photo.resize((half, framing.height)))
        views += [canvas, canvas]
    maps = heat_maps(cats_or_dogs, views, [0, 1] * 10)
    left, right = maps[:, :, :3].sum(axis=(1, 2)), maps[:, :, 4:].sum(axis=(1, 2))
    assert ((left > right)[::2] & (right > left)[1::2]).sum() >= 8


BACKBONES = {
    "test_efficientnet": (64, (2, 2)),
    "test_resnet": (64, (2, 2)),
    "test_convnext": (64, (2, 2)),
    "test_vit": (64, (4, 4)),
    "deit_tiny_distilled_patch16_224": (64, (4, 4)),
    "swin_tiny_patch4_window7_224": (64, (2, 2)),
    "mobilevit_xxs": (64, (2, 2)),
    "cait_xxs24_224": (64, (4, 4)),
    "levit_128s": (64, (1, 1)),
    "poolformer_s12": (64, (2, 2)),
}


def network_of(backbone: str, size: int) -> Network:
    torch.manual_seed(0)
    module = create(backbone, 3, size)
    for layer in linear_heads(module):
        # As after training; some begin with zeros, of which nothing can be asked.
        torch.nn.init.normal_(layer.weight, std=0.1)  # type: ignore[arg-type]
    return Network(module, preprocessing_of(module, size)).eval()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_family_has_a_grid(backbone: str) -> None:
    size, grid = BACKBONES[backbone]
    network = network_of(backbone, size)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pixels = list(np.random.default_rng(0).integers(0, 255, (3, size, size, 3), dtype=np.uint8))
    logits = network(torch.from_numpy(np.stack(pixels)))
    maps = heat_maps(network, pixels, [0, 1, 2])
    assert maps.shape == (3, *grid)
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    assert maps.any(), "nothing on noise speaks for any class"
    for one in maps:
        assert one.max() == pytest.approx(1.0) or not one.any()
    # One by one is the same as together, and nothing of the network is changed.
    assert np.allclose(maps[1], heat_maps(network, pixels[1:2], [1])[0], atol=1e-4)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(logits, network(torch.from_numpy(np.stack(pixels))))


def test_a_network_that_says_the_same_of_all_photos_has_none() -> None:
    network = network_of("test_resnet", 64)
    for layer in linear_heads(network.backbone):
        torch.nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
    with pytest.raises(Unmapped, match="no grid"):
        heat_maps(network, [np.zeros((64, 64, 3), np.uint8)], [0])
