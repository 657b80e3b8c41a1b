"""In which precision to train where nobody says: what a quick measurement finds, and not what a processor promises."""

from __future__ import annotations

import logging
import time
from typing import Any

import torch

from vision_ft.model.depthwise import quick_depthwise
from vision_ft.model.network import Network
from vision_ft.train.schedule import Schedule

_log = logging.getLogger(__name__)

EXACT, HALF = "32-true", "bf16-mixed"
# Of the measurement: photos in a step, and steps in each precision after a first one that does not count.
_PHOTOS, _STEPS = 8, 3
# Half the digits must be worth it: in the whole run, seconds; and in a step, its share of the time.
_SECONDS, _SHARE = 5.0, 0.9


def on_gpu(accelerator: str | Any) -> bool:
    """Whether the accelerator that is asked for is a GPU of NVIDIA's that is there."""
    return accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def fitting_precision(accelerator: str | Any, network: Network, schedule: Schedule | None, photos: int) -> str:
    """Lightning's name of the precision that a training is best done in.

    bfloat16 with autocast where a GPU has it, for half the memory and about twice the speed; on a CPU that has it where
    a step of the longest phase is measured to be faster, by enough to be worth it; plain float32 elsewhere.

    Args:
        accelerator: Lightning's name of it.
        network: on the CPU; what trains in it is everything, afterwards.
        schedule: of the training; ``None`` where several processes have to agree, or nothing is trained.
        photos: of an epoch.
    """
    if on_gpu(accelerator):
        return HALF if torch.cuda.is_bf16_supported() else EXACT
    if accelerator not in ("auto", "cpu") or schedule is None or not schedule.epochs or not _cpu_has_bfloat16():
        return EXACT
    longest = max(range(len(schedule.phases)), key=lambda place: schedule.phases[place].epochs)
    state = schedule.at(schedule.begins()[longest])
    if not state.rates:
        return EXACT
    with torch.random.fork_rng(devices=[]):
        network.train_only(state.rates, batch_norm_frozen=True, adapters=state.adapters)
        exactly, half = _step_seconds(network)
        network.train_only(network.stages, batch_norm_frozen=False)
    saved = (exactly - half) / _PHOTOS * photos * schedule.epochs
    _log.debug("a step of %d photos: %.3f s in float32, %.3f s in bfloat16", _PHOTOS, exactly, half)
    return HALF if half < _SHARE * exactly and saved > _SECONDS else EXACT


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies in bfloat16 at all; elsewhere it would only be imitated, and slow."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # type: ignore[no-untyped-call]


def _step_seconds(network: Network) -> tuple[float, float]:
    """Seconds of a step in float32 and in bfloat16: through what trains, the least of several."""
    noise = network.noise()[:1].expand(_PHOTOS, -1, -1, -1)
    trunk = network.trunk()
    network.train()
    boundary = 0 if trunk is None else trunk.boundary()
    with torch.no_grad():
        reached = network.normalised(noise) if trunk is None else trunk.below(network.normalised(noise), boundary)
    if reached.ndim == 4:
        reached = reached.contiguous(memory_format=torch.channels_last)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]

    def step(half: bool) -> float:
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=half), quick_depthwise(torch.device("cpu")):
            logits = network.backbone(reached) if trunk is None else trunk.above(reached, boundary)
        torch.autograd.grad(logits.float().sum(), trained, allow_unused=True)
        return time.perf_counter() - started

    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(_STEPS + 1):
        for half in (False, True):
            took[half].append(step(half))
    return min(took[0][1:]), min(took[1][1:])
