"""What looks at photos with a frozen network: PyTorch, or on a CPU an engine that is four to eight times as fast."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from vision_ft.model.translate import Untranslatable
from vision_ft.silent import silent_openvino

_log = logging.getLogger(__name__)

# Photos times parameters from which a faster engine makes up for the seconds that the translation takes.
_WORTH = 1.5e9
# Photos that a thread of the engine computes at once: few enough to stay in a core's own memory.
_AT_ONCE = 4
# How far an engine may be off: in float32, the largest difference in standard deviations of what it is to give; in
# bfloat16, all differences together, as a share of that.
_ALIKE, _NEAR = 1e-3, 0.05


class Eyes(Protocol):
    """Looks at photos."""

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """What a network makes of uint8 pixels (photos, height, width, 3) on the CPU, in float32."""
        ...


class ByTorch:
    """PyTorch, on whatever device the network lies."""

    def __init__(
        self,
        part: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device,
        context: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        """Look with a part of a network.

        Args:
            part: of the network, from the pixels on.
            device: where the network lies.
            context: in which precision.
        """
        self._part = part
        self._device = device
        self._context = context

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """See :class:`Eyes`."""
        with torch.no_grad(), self._context():
            return self._part(pixels.to(self._device, non_blocking=True)).float()


class ByOnnxRuntime:
    """ONNX Runtime on the CPU, in float32.

    Each thread computes photos of its own: a thread that waits for no other computes some ten percent more than one of
    several that share each layer.
    """

    def __init__(self, graph: bytes) -> None:
        """Load a graph."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._takes = self._session.get_inputs()[0].name
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), "eyes")

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """See :class:`Eyes`."""
        return torch.cat(list(self._threads.map(self._look, torch.split(pixels, _AT_ONCE))))

    def _look(self, pixels: torch.Tensor) -> torch.Tensor:
        (found,) = self._session.run(None, {self._takes: pixels.numpy()})
        return torch.from_numpy(found)


class ByOpenVino:
    """OpenVINO on the CPU, in bfloat16; an extra.

    Photos go in by as many at once, always: what comes of one must not hang on which others come with it.
    """

    def __init__(self, graph: bytes) -> None:
        """Load a graph.

        Raises:
            RuntimeError: OpenVINO cannot.
        """
        core = silent_openvino().Core()
        model = core.read_model(graph)
        _, *size = model.inputs[0].get_partial_shape()
        model.reshape({model.inputs[0]: [_AT_ONCE, *size]})
        threads = torch.get_num_threads()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": str(threads),
        }
        self._compiled = core.compile_model(model, "CPU", settings)
        self._threads = ThreadPoolExecutor(threads, "eyes")
        self._own = threading.local()

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """See :class:`Eyes`."""
        return torch.cat(list(self._threads.map(self._look, torch.split(pixels, _AT_ONCE))))

    def _look(self, pixels: torch.Tensor) -> torch.Tensor:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        photos = len(pixels)
        if photos < _AT_ONCE:
            pixels = torch.cat([pixels, pixels.new_zeros(_AT_ONCE - photos, *pixels.shape[1:])])
        found = self._own.request.infer({0: pixels.numpy()}, share_inputs=True)[0]
        return torch.tensor(found[:photos], dtype=torch.float32)


def can_round() -> bool:
    """Whether an engine is installed that is faster in bfloat16."""
    return importlib.util.find_spec("openvino") is not None


def fastest(
    by_torch: ByTorch,
    graph: Callable[[], bytes],
    trial: torch.Tensor,
    photos: int,
    parameters: int,
    *,
    rounded: bool = False,
) -> Eyes:
    """The engine to look at so many photos with, on a CPU.

    Args:
        by_torch: looks with a part of a network, in float32.
        graph: the same part, as ONNX; raises Untranslatable where there is none.
        trial: some pixels, on which the engines must agree.
        photos: to be looked at.
        parameters: of the network.
        rounded: whether bfloat16 will do, and the processor has it. Which engine it is hangs on nothing that is
            measured: a run that is resumed must have the one that it had.
    """
    if photos * parameters < _WORTH:
        return by_torch
    try:
        data = graph()
    except Untranslatable as error:
        _log.info("no engine but PyTorch can look at the photos: %s", error)
        return by_torch
    wanted = by_torch(trial)
    if rounded and can_round():
        try:
            quick = ByOpenVino(data)
            found = quick(trial)
        except Exception as error:
            # Of another version, with a library missing, or something else of that name: it is an extra, and nothing
            # that is wrong with it is a reason not to train.
            _log.info("OpenVINO cannot look at the photos: %s", " ".join(str(error).split())[:200])
        else:
            if found.shape == wanted.shape and bool((found - wanted).norm() <= _NEAR * wanted.norm()):
                return quick
    eyes = ByOnnxRuntime(data)
    found = eyes(trial)
    alike = found.shape == wanted.shape and bool((found - wanted).abs().max() <= _ALIKE * wanted.std())
    return eyes if alike else by_torch
