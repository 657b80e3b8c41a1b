"""OpenVINO, an extra: the same graph in Intel's engine."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np

from vision_ft.errors import BundleError
from vision_ft.framing import Pixels
from vision_ft.runtime.engine import Answers, Floats
from vision_ft.silent import silent_openvino
from vision_ft.spec import NOVELTY, PIXELS, PLACES, PROBABILITIES


class OpenVino:
    """OpenVINO on the CPU, in float32."""

    def __init__(self, model: bytes, lanes: int = 1) -> None:
        """Load a graph.

        Args:
            model: the bytes of ``model.onnx``.
            lanes: how many calls at once are to share the cores, 1 or more.

        Raises:
            UsageError: OpenVINO is not installed.
            BundleError: it cannot load the graph.
        """
        openvino = silent_openvino()
        self.lanes = lanes
        self._core = openvino.Core()
        try:
            self._model = self._core.read_model(model)
        except RuntimeError as error:
            raise BundleError(f"OpenVINO {openvino.__version__} cannot load the model: {_brief(error)}") from error
        self._has = {name for output in self._model.outputs for name in output.names}
        self._answers = self._compiled({PROBABILITIES, NOVELTY})
        self._places: _Requests | None = None

    def run(self, pixels: Pixels) -> Answers:
        """See :class:`~vision_ft.runtime.engine.Engine`."""
        found = self._answers.run(pixels)
        return Answers(found[PROBABILITIES], found.get(NOVELTY))

    def places(self, pixels: Pixels) -> Floats | None:
        """See :class:`~vision_ft.runtime.engine.Engine`."""
        if PLACES not in self._has:
            return None
        if self._places is None:
            self._places = self._compiled({PLACES})
        return self._places.run(pixels)[PLACES]

    def _compiled(self, outputs: set[str]) -> _Requests:
        """The part of the graph that leads to some outputs; unlike ONNX Runtime, OpenVINO computes all there are."""
        openvino = silent_openvino()
        parameters = self._model.get_parameters()
        results = [result for result in self._model.get_results() if result.output(0).names & outputs]
        names = [next(iter(result.output(0).names & outputs)) for result in results]
        part = openvino.Model(results, parameters, "part")
        # Where the processor has bfloat16 it would be taken otherwise, whose three digits do not pass the gate.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(self.lanes)}
        try:
            return _Requests(self._core.compile_model(part, "CPU", settings), names)
        except RuntimeError as error:
            raise BundleError(f"OpenVINO {openvino.__version__} cannot load the model: {_brief(error)}") from error


class _Requests:
    """A compiled model and its requests, of which each thread takes one for as long as it needs it."""

    def __init__(self, compiled: Any, names: list[str]) -> None:
        self._compiled = compiled
        self._names = names
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()

    def run(self, pixels: Pixels) -> dict[str, Floats]:
        try:
            request = self._free.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            found = request.infer({PIXELS: pixels}, share_inputs=True)
            return {name: np.array(found[place], dtype=np.float32) for place, name in enumerate(self._names)}
        finally:
            self._free.put(request)


def _brief(error: RuntimeError) -> str:
    return next((line.strip() for line in reversed(str(error).strip().splitlines()) if line.strip()), "")[:200]
