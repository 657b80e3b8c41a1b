"""Low-rank adapters beside a network's weights (LoRA: Hu et al., https://arxiv.org/abs/2106.09685), by peft.

A layer with weights W then computes with W + s · B · A, where A and B have few numbers and B begins at zero. They train
in the place of W; added up, they leave a network like any other.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from vision_ft.errors import ConfigError

# s, whatever the rank: peft's alpha divided by the rank. Twice, as is usual.
_SCALE = 2
_ADAPTER = re.compile(r"\.lora_[AB]\.default(?=\.|$)|\.lora_dropout(\.default)?(?=\.|$)|\.lora_[AB](?=\.|$)")


def check_installed() -> None:
    """Raise :class:`~vision_ft.errors.ConfigError` if peft is not there."""
    if importlib.util.find_spec("peft") is None:
        raise ConfigError("lora: needs the package peft; pip install 'vision-ft[lora]'")


def add_adapters(backbone: nn.Module, modules: Iterable[str], rank: int, pixels: torch.Tensor) -> list[str]:
    """Put adapters beside layers, in place.

    Linear layers and convolutions get them, but for grouped convolutions, which have few weights anyway, and for kinds
    of layers that change their weights or their padding as they go, whose adapters would compute something else.

    Args:
        backbone: in eval mode.
        modules: names of modules below which layers get adapters.
        rank: of B · A.
        pixels: float (photos, 3, height, width), to see with which layers are used as such: some backbones take the
            weights out of a layer and compute by themselves.

    Returns:
        The names of the layers that have adapters now.
    """
    check_installed()
    from peft import LoraConfig, inject_adapter_in_model

    named = dict(backbone.named_modules())
    layers = {
        name: module
        for name in modules
        if type(module := named[name]) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)
    }
    used: set[str] = set()
    hooks = [module.register_forward_hook(lambda *_, name=name: used.add(name)) for name, module in layers.items()]
    try:
        with torch.no_grad():
            backbone(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    chosen = [name for name in layers if name in used]
    if chosen:
        pattern = "|".join(map(re.escape, chosen))
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=_SCALE * rank, target_modules=pattern), backbone)
    return chosen


def is_adapter(name: str) -> bool:
    """Whether a tensor or module is part of an adapter, by its name."""
    return _ADAPTER.search(name) is not None


def plain_name(name: str) -> str:
    """What a tensor or module was called before there were adapters; of an adapter's own, that of what it adapts."""
    return _ADAPTER.sub("", name.replace(".base_layer", ""))


def merged(module: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A network's tensors as they act, under the names that they have without adapters.

    Args:
        module: holds the network.
        state: of the same module, as ``state_dict`` gives it.
    """
    deltas = {f"{name}.weight": layer.get_delta_weight("default").detach() for name, layer in _adapted(module)}
    plain = {plain_name(name): tensor for name, tensor in state.items() if not is_adapter(name)}
    with torch.no_grad():
        return {name: tensor + deltas[name] if name in deltas else tensor for name, tensor in plain.items()}


def unmerged(module: nn.Module, plain: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state of a module with adapters in which it acts as plain tensors do: adapters that add nothing.

    Args:
        module: holds the network.
        plain: as :func:`merged` gives it.
    """
    state = {}
    for name, tensor in module.state_dict().items():
        if not is_adapter(name):
            state[name] = plain[plain_name(name)]
        else:
            state[name] = torch.zeros_like(tensor) if ".lora_B." in name else tensor
    return state


def _adapted(module: nn.Module) -> list[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    return [(name, layer) for name, layer in module.named_modules() if isinstance(layer, LoraLayer)]
