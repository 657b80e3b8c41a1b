"""A backbone cut in two computes what the whole one does, and is cut where training begins."""

from __future__ import annotations

import pytest
import torch

from vision_ft.model.backbone import build
from vision_ft.model.network import Network
from vision_ft.model.translate import FEATURES, LOGITS, Translation, Untranslatable

# Height and width in pixels; the stages that train, and how many pieces of the trunk lie below them.
SEQUENCES = {
    "tf_efficientnet_lite0": (32, ["blocks.6", "head"], 8),
    "mobilenetv3_small_050": (32, ["blocks.5", "head"], 7),
    "mobilenetv4_conv_small_035": (32, ["blocks.4", "head"], 6),
    "resnet18": (32, ["layer4", "head"], 10),
    "resnetv2_50": (32, ["stages.3", "head"], 5),
    "regnetx_002": (32, ["s4", "head"], 4),
    "convnext_atto": (32, ["stages.3", "head"], 5),
    "vit_tiny_patch16_224": (32, ["blocks.11", "head"], 13),
    "swin_tiny_patch4_window7_224": (56, ["layers.3", "head"], 4),
    "mobilevit_xxs": (64, ["stages.4", "head"], 5),
    "coatnet_pico_rw_224": (64, ["stages.3", "head"], 4),
}


def network(name: str, size: int, classes: int = 3) -> Network:
    torch.manual_seed(0)
    built = build(name, "random:", [str(number) for number in range(classes)], size)
    return Network(built.module, built.preprocessing).eval()


@pytest.mark.parametrize("name", SEQUENCES)
def test_both_parts_give_what_the_whole_gives(name: str) -> None:
    size, stages, below = SEQUENCES[name]
    whole = network(name, size)
    trunk = whole.trunk()
    assert trunk is not None
    pixels = torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8)
    wanted = whole(pixels)
    for boundary in range(trunk.pieces + 1):
        found = trunk.above(trunk.below(whole.normalised(pixels), boundary), boundary)
        torch.testing.assert_close(found, wanted)
    whole.train_only(stages, batch_norm_frozen=True)
    assert trunk.boundary() == below
    # What trains gets the gradient that it gets in the whole.
    trained = [parameter for parameter in whole.parameters() if parameter.requires_grad]
    wanted_gradients = torch.autograd.grad(whole(pixels).square().sum(), trained)
    with torch.no_grad():
        reached = trunk.below(whole.normalised(pixels), below)
    found_gradients = torch.autograd.grad(trunk.above(reached, below).square().sum(), trained)
    for found, wanted in zip(found_gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_where_nothing_is_frozen_or_everything() -> None:
    whole = network("vit_tiny_patch16_224", 32)
    trunk = whole.trunk()
    assert trunk is not None
    whole.train_only(whole.stages, batch_norm_frozen=True)
    assert trunk.boundary() == 0
    # The class token and the table of positions belong to no block.
    whole.train_only([whole.stages[0]], batch_norm_frozen=True)
    assert trunk.boundary() == 0
    whole.train_only(["head"], batch_norm_frozen=True)
    assert trunk.boundary() == trunk.pieces


@pytest.mark.parametrize(("name", "size"), [("inception_v3", 75), ("eva02_tiny_patch14_224", 28)])
def test_one_that_is_no_known_sequence(name: str, size: int) -> None:
    assert network(name, size).trunk() is None


def run(graph: bytes, pixels: torch.Tensor) -> torch.Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


def alike(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return found.shape == wanted.shape and bool((found - wanted).abs().max() <= 1e-4 * wanted.abs().max())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "vit_tiny_patch16_224", "inception_v3"])
def test_one_translation_serves_weights_that_come_later(name: str) -> None:
    size = SEQUENCES.get(name, (75,))[0]
    before = network(name, size)
    translation = Translation(before)
    pixels = torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8)
    later = network(name, size)
    with torch.no_grad():
        for parameter in later.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
        for buffer_name, buffer in later.named_buffers():
            if buffer_name.endswith("running_var"):
                buffer.mul_(1.3)
        for which in (before, later):
            assert alike(run(translation.part(FEATURES, which), pixels), which.features(pixels))
            torch.testing.assert_close(
                run(translation.part(LOGITS, which), pixels),
                which(pixels),
                rtol=1e-3,
                atol=1e-5,
            )
            if (trunk := which.trunk()) is not None:
                found = run(translation.part(translation.boundary(3), which), pixels)
                assert alike(found, trunk.below(which.normalised(pixels), 3))


def test_a_network_that_is_built_otherwise_is_refused() -> None:
    translation = Translation(network("resnet18", 32))
    with pytest.raises(Untranslatable, match="shape"):
        translation.part(LOGITS, network("resnet18", 32, classes=4))
    with pytest.raises(Untranslatable, match="has no"):
        translation.part(LOGITS, network("regnetx_002", 32))
