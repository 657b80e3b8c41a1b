"""The formats of a bundle beside ``model.onnx``: each one small class behind one method."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from vision_ft.errors import ExportMismatch
from vision_ft.export.gate import Gate, check_batches
from vision_ft.export.int8 import RECIPES, Recipe, quantised
from vision_ft.export.learned import Learned, Runner, Validation, validated
from vision_ft.export.nearness import Nearness
from vision_ft.export.novelty import scale_of
from vision_ft.export.part import Material, Part, Pixels
from vision_ft.export.tail import finished
from vision_ft.runtime.engine import ENGINES, Answers, OnnxRuntime
from vision_ft.spec import INT8_FILE, MODEL_FILE, PT2_FILE

# Training photos that the ranges of int8 are taken from.
_FOR_RANGES = 64


class Refused(Exception):  # noqa: N818 - a finding, of which the bundle is no worse
    """A format is not written; the message says why."""


@dataclass(frozen=True)
class Source:
    """What formats are made of.

    Attributes:
        gate: the network with what makes answers, and the golden photos.
        core: the same as an ``onnx.ModelProto`` of features and logits.
        graph: the bytes of ``model.onnx``, which passed the gate.
        learned: temperature, thresholds and bank.
        material: the photos.
    """

    gate: Gate
    core: Any
    graph: bytes
    learned: Learned
    material: Material


@dataclass(frozen=True)
class Made:
    """A format that passed the gate.

    Attributes:
        file: of the bundle.
        content: what is to be written there; ``None`` where it is there for another format.
        record: what it was compared on and how far it was off, for the spec.
        answers: to the golden photos, where they are its own.
    """

    file: str
    content: bytes | None
    record: dict[str, object]
    answers: Answers | None = None


class Format(Protocol):
    """Makes a format and puts it through the gate."""

    def make(self, source: Source) -> Made:
        """Make it.

        Raises:
            Refused: it cannot be made, or did not pass.
        """


class Int8:
    """ONNX in eight bits, for ONNX Runtime."""

    def make(self, source: Source) -> Made:
        """See :class:`Format`. Recipes are tried in turn until one passes."""
        train, val, exact = source.material.train, source.material.val, source.learned.val
        if train is None or val is None or exact is None:
            raise Refused("it takes training photos to set ranges by and validation photos to compare on")
        step = max(1, len(train.labels) // _FOR_RANGES)
        photos = [pixels for _, pixels in train.batches(range(0, len(train.labels), step))]
        if not photos:
            raise Refused("no training photo that ranges are set by can be read")
        fault = ""
        for recipe in RECIPES:
            try:
                return self._made(source, np.concatenate(photos), recipe, val, exact)
            except Refused as error:
                fault = fault or str(error)
        raise Refused(f"{fault}; {len(RECIPES)} ways of quantising were tried")

    def _made(self, source: Source, photos: Pixels, recipe: Recipe, part: Part, exact: Validation) -> Made:
        learned = source.learned
        try:
            core = quantised(source.core, photos, recipe)
            runner = Runner(core)
        except Exception as error:
            # ONNX Runtime's quantiser has no errors of its own.
            raise Refused(f"ONNX Runtime cannot quantise it: {_brief(error)}") from error
        val = validated(runner, part, learned.bank)
        if val is None or len(val.labels) != len(exact.labels):
            raise Refused("validation photos went missing")
        nearness = Nearness.of(
            val.probabilities(learned.temperature), exact.probabilities(learned.temperature), val.labels
        )
        if nearness.fault is not None:
            raise Refused(nearness.fault)
        # Its own distances are a little larger: what is kept is to be 95 % here as well.
        scale = None if val.distances is None else scale_of(val.distances)
        content = finished(core, learned.temperature, learned.bank, learned.scale if scale is None else scale)
        engine = OnnxRuntime(content)
        try:
            check_batches(engine.run, source.gate.pixels)
        except ExportMismatch as error:
            raise Refused(str(error)) from error
        record = {"file": INT8_FILE, "ranges": recipe.method, "layers_in_float": recipe.in_float}
        return Made(INT8_FILE, content, {**record, **nearness.as_record()}, engine.run(source.gate.pixels))


class OpenVino:
    """``model.onnx`` in OpenVINO: no file of its own, but the gate is passed all the same."""

    def make(self, source: Source) -> Made:
        """See :class:`Format`."""
        engine = ENGINES["openvino"].load(source.graph, 1)
        return Made(MODEL_FILE, None, _compared(source, engine.run, MODEL_FILE))


class Pt2:
    """A program of ``torch.export``, for those who have PyTorch and want to go on in it."""

    def make(self, source: Source) -> Made:
        """See :class:`Format`."""
        framing = source.gate.model.network.preprocessing.framing
        example = torch.zeros((2, framing.height, framing.width, 3), dtype=torch.uint8)
        batch = torch.export.Dim("batch", min=1, max=65536)
        buffer = io.BytesIO()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.export.export(source.gate.model, (example,), dynamic_shapes=({0: batch},))
                torch.export.save(program, buffer)
                buffer.seek(0)
                module = torch.export.load(buffer).module()
        except Exception as error:
            # PyTorch's exporter raises whatever lies at the bottom of it.
            raise Refused(f"torch.export cannot translate it: {_brief(error)}") from error

        def run(pixels: Pixels) -> Answers:
            with torch.inference_mode():
                return Answers(*(one.numpy() for one in module(torch.from_numpy(pixels))))

        return Made(PT2_FILE, buffer.getvalue(), _compared(source, run, PT2_FILE))


# What ``--engines`` takes beside onnx, which is always written.
FORMATS: dict[str, Format] = {"int8": Int8(), "openvino": OpenVino(), "pt2": Pt2()}


def make_all(names: Sequence[str], source: Source) -> tuple[dict[str, Made], dict[str, str]]:
    """Make formats.

    Returns:
        Those that passed the gate, and why the others did not, by their names.
    """
    made, refused = {}, {}
    for name in names:
        if name in FORMATS:
            try:
                made[name] = FORMATS[name].make(source)
            except Refused as error:
                refused[name] = str(error)
    return made, refused


def _compared(source: Source, run: Any, file: str) -> dict[str, object]:
    try:
        return {"file": file, **source.gate.compare(run).record}
    except ExportMismatch as error:
        raise Refused(str(error)) from error


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
