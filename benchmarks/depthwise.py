"""What the gradient of a depthwise filter takes on a CPU: PyTorch's own, and that of ``vision_ft/model/depthwise.py``.

Layers as they are in EfficientNet-Lite0, MobileNet v3 and ConvNeXt. Then whole steps of a backbone's top stages from
what reaches them, in float32 and in bfloat16, each both ways in turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn

from vision_ft.machine import describe
from vision_ft.model.backbone import build
from vision_ft.model.depthwise import quick_depthwise
from vision_ft.model.network import Network

CPU = torch.device("cpu")
DTYPES = (torch.float32, torch.bfloat16)
HEAD = "\n| {} | float32: PyTorch | ours | bfloat16: PyTorch | ours |\n| --- | --- | --- | --- | --- |"
# Channels, rows and columns, filter, step, padding.
LAYERS = [
    (672, 14, 3, 1, 1), (672, 14, 5, 1, 2), (1152, 7, 5, 1, 2), (672, 17, 5, 2, 0), (240, 28, 3, 2, 1),
    (384, 14, 7, 1, 3), (768, 7, 7, 1, 3),
]  # fmt: skip
BACKBONES = [("tf_efficientnet_lite0", 4, 32), ("mobilenetv3_large_100", 4, 32), ("convnext_tiny", 3, 16)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="medians are printed")
    options = parser.parse_args()
    print(describe(["torch", "timm"]))
    print(HEAD.format("gradient of 32 photos, ms"))
    for layer in LAYERS:
        channels, size, width, step, _ = layer
        times = [of_layer(*layer, dtype, quick, options.rounds) for dtype in DTYPES for quick in (False, True)]
        steps = "" if step == 1 else f" in steps of {step}"
        print(
            f"| {channels} of {size} × {size}, {width} × {width}{steps} | {' | '.join(f'{one:.1f}' for one in times)} |"
        )
    print(HEAD.format("steps, photos/s"))
    for name, stages, photos in BACKBONES:
        rates = of_backbone(name, stages, photos, options.rounds)
        print(f"| the top {stages} stages of {name} | {' | '.join(f'{one:.0f}' for one in rates)} |")


def of_layer(
    channels: int, size: int, width: int, step: int, padding: int, dtype: torch.dtype, quick: bool, rounds: int
) -> float:
    """Milliseconds of the gradients of pixels and weight."""
    layer = nn.Conv2d(channels, channels, width, step, padding, groups=channels, bias=False)
    pixels = torch.randn(32, channels, size, size).to(memory_format=torch.channels_last).requires_grad_()
    taken = []
    for _ in range(rounds + 1):
        half = torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16)
        with half, quick_depthwise(CPU) if quick else nullcontext():
            found = layer(pixels.to(dtype))
        of = torch.ones_like(found)
        taken.append(seconds(lambda found=found, of=of: torch.autograd.grad(found, [pixels, layer.weight], of)))
    return statistics.median(taken[1:]) * 1e3


def of_backbone(name: str, stages: int, photos: int, rounds: int) -> list[float]:
    """Photos a second through a step from the boundary, in the order of the table."""
    built = build(name, "builtin:" if "lite" in name else "random:", ["cat", "dog"])
    network = Network(built.module, built.preprocessing)
    trunk = network.trunk()
    if trunk is None:
        raise TypeError(f"{name} is no sequence")
    network.train_only(network.stages[-stages:], batch_norm_frozen=True)
    boundary = trunk.boundary()
    network.train()
    noise = network.noise()[:1].expand(photos, -1, -1, -1)
    with torch.no_grad():
        reached = trunk.below(network.normalised(noise), boundary).contiguous(memory_format=torch.channels_last)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]

    def step(dtype: torch.dtype, quick: bool) -> None:
        half = torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16)
        with half, quick_depthwise(CPU) if quick else nullcontext():
            logits = trunk.above(reached, boundary)
        torch.autograd.grad(logits.float().sum(), trained, allow_unused=True)

    kinds = [(dtype, quick) for dtype in DTYPES for quick in (False, True)]
    taken = {kind: [seconds(lambda kind=kind: step(*kind))] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            taken[kind].append(seconds(lambda kind=kind: step(*kind)))
    return [photos / statistics.median(taken[kind][1:]) for kind in kinds]


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
