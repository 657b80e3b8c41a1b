from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vision_ft.errors import ConfigError
from vision_ft.model.backbone import build
from vision_ft.model.lora import is_adapter
from vision_ft.model.network import Network

# Convolutions, some of them with padding of their own; attention; attention that takes the weights out of its layers.
BACKBONES = {
    "test_resnet": 64,
    "tf_efficientnet_lite0": 32,
    "convnext_atto": 32,
    "vit_tiny_patch16_224": 32,
    "swin_tiny_patch4_window7_224": 56,
    "eva02_tiny_patch14_224": 28,
    "beit_base_patch16_224": 32,
}


def network(name: str, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    built = build(name, "random:", ("a", "b", "c"), BACKBONES[name])
    net = Network(built.module, built.preprocessing).eval()
    for key, parameter in net.named_parameters():
        # Heads begin at zero, and the last norm of some blocks too: nothing could be seen of what lies before them.
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        elif key.endswith("weight"):
            torch.nn.init.ones_(parameter)
    return net


def pixels(name: str) -> torch.Tensor:
    size = BACKBONES[name]
    return torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def train_a_step(net: Network, stages: tuple[str, ...]) -> None:
    net.train_only(stages, batch_norm_frozen=True, adapters=True)
    net.train()
    logits = net(pixels_of(net))
    logits.square().sum().backward()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad.sign()
    net.eval()


def pixels_of(net: Network) -> torch.Tensor:
    framing = net.preprocessing.framing
    shape = (2, framing.height, framing.width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BACKBONES)
def test_adapters_change_nothing_until_they_train_and_can_be_added_up(name: str) -> None:
    net, plain = network(name), network(name)
    stages = net.stages[-4:-1]
    with torch.no_grad():
        before = net(pixels(name))
    net.adapt(stages, rank=4)
    with torch.no_grad():
        torch.testing.assert_close(net(pixels(name)), before)
    assert net.plain_state().keys() == plain.state_dict().keys()
    assert all(torch.equal(tensor, plain.state_dict()[key]) for key, tensor in net.plain_state().items())

    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    train_a_step(net, (*stages, "head"))
    moved = {key for key, tensor in net.state_dict().items() if not torch.equal(tensor, state[key])}
    wanted = {key for stage in stages for key, _ in net.parameters_of(stage) if ".lora_B." in key}
    wanted |= {key for key, _ in net.parameters_of("head")}
    # Of the two factors one begins at zero, so the other is without a gradient in the first step.
    assert moved == wanted
    train_a_step(net, (*stages, "head"))
    moved = {key for key, tensor in net.state_dict().items() if not torch.equal(tensor, state[key])}
    others = {key.replace("lora_B", "lora_A") for key in wanted if ".lora_B." in key}
    assert others <= moved <= wanted | others

    with torch.no_grad():
        after = net(pixels(name))
        assert (after - before).abs().max() > 1e-3
        plain.load_state_dict(net.plain_state())
        torch.testing.assert_close(plain(pixels(name)), after, rtol=1e-4, atol=1e-4)
        net.load_plain_state(network(name).state_dict())
        torch.testing.assert_close(net(pixels(name)), before, rtol=1e-4, atol=1e-4)


def test_weights_train_beside_adapters_that_stand_still() -> None:
    net = network("test_resnet")
    net.adapt(net.stages[-2:-1], rank=2)
    net.train_only(net.stages[-2:], batch_norm_frozen=True)
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    of_stages = {name for stage in net.stages[-2:] for name, _ in net.parameters_of(stage)}
    assert trained == {name for name in of_stages if not is_adapter(name)}
    assert {name for stage in net.stages for name, _ in net.parameters_of(stage)} == {
        name for name, _ in net.named_parameters()
    }


def test_a_stage_without_a_layer_for_it_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """All that EfficientNet-Lite has in its stem is a convolution that pads by itself."""
    network("tf_efficientnet_lite0").adapt(("stem", "blocks.1"), rank=2)
    assert "no layer of stem takes an adapter" in caplog.text
    with pytest.raises(ConfigError, match="no layer of stem takes an adapter"):
        network("tf_efficientnet_lite0").adapt(("stem",), rank=2)


def test_without_peft_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vision_ft.model import lora

    monkeypatch.setattr(lora.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'vision-ft\[lora\]'"):
        lora.check_installed()
