from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from vision_ft.errors import ConfigError
from vision_ft.model.backbone import build
from vision_ft.model.network import Network


def network(name: str, size: int = 64) -> Network:
    built = build(name, "random:", ("a", "b", "c"), size)
    return Network(built.module, built.preprocessing)


def test_pixels_in_logits_out() -> None:
    net = network("test_resnet").eval()
    pixels = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8)
    normalised = (pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    assert torch.allclose(net(pixels), net.backbone(normalised), atol=1e-6)
    assert net(pixels).shape == (5, 3)


def test_mean_and_std_are_buffers() -> None:
    net = network("resnet18")
    assert {"mean", "std"} <= set(dict(net.named_buffers()))
    assert net.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])


def modes(net: Network, kind: type[nn.Module]) -> dict[str, bool]:
    return {name: module.training for name, module in net.backbone.named_modules() if isinstance(module, kind)}


@pytest.mark.parametrize("frozen", [True, False])
def test_train_only_sets_gradients_and_modes(frozen: bool) -> None:
    net = network("resnet18")
    net.train_only(["head", "layer4"], batch_norm_frozen=frozen)
    for _ in range(2):
        net.train()
        gradients = {name: parameter.requires_grad for name, parameter in net.backbone.named_parameters()}
        assert all(on == name.startswith(("layer4", "fc")) for name, on in gradients.items())
        assert all(on == (name.startswith("layer4") and not frozen) for name, on in modes(net, _NormBase).items())
        net.eval()
        assert not any(modes(net, nn.Module).values())


def test_stochastic_depth_is_off_in_frozen_stages() -> None:
    net = Network(*_with_drop_path())
    net.train()
    net.train_only(["head", "stages.3"], batch_norm_frozen=True)
    on = {name: mode for name, mode in modes(net, nn.Module).items() if name.endswith("drop_path")}
    assert any(on.values())
    assert all(mode == name.startswith("stages.3") for name, mode in on.items())


def _with_drop_path():  # type: ignore[no-untyped-def]
    import timm

    built = build("convnext_atto", "random:", ("a", "b"), 64)
    return timm.create_model("convnext_atto", num_classes=2, drop_path_rate=0.5), built.preprocessing


def test_everything_can_train_again() -> None:
    net = network("resnet18")
    net.train_only(["head"], batch_norm_frozen=True)
    net.train_only(net.stages, batch_norm_frozen=False)
    net.train()
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(modes(net, nn.Module).values())


def test_dropout_and_drop_path_are_timms_own() -> None:
    module: Any = build("convnext_atto", "random:", ("a", "b"), 64, drop_rate=0.3, drop_path_rate=0.2).module
    assert module.head.drop.p == 0.3
    shares = [part.drop_prob for part in module.modules() if isinstance(part, DropPath)]
    assert max(shares) == pytest.approx(0.2)
    assert shares == sorted(shares)


def test_a_backbone_without_stochastic_depth_says_so() -> None:
    with pytest.raises(ConfigError, match=r"model.backbone: vgg11 cannot be built: .*drop_path_rate"):
        build("vgg11", "random:", ("a", "b"), drop_path_rate=0.1)


def test_features_are_what_the_head_sees() -> None:
    net = network("convnext_atto").eval()
    pixels = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        features = net.features(pixels)
        head: Any = net.backbone.get_classifier()  # type: ignore[operator]
        assert torch.allclose(head(features), net(pixels), atol=1e-5)


def test_a_network_that_is_all_bfloat16_takes_photos() -> None:
    """As Lightning makes of it with trainer.precision bf16-true."""
    net = network("test_resnet").eval().to(torch.bfloat16)
    assert net(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)).dtype == torch.bfloat16
