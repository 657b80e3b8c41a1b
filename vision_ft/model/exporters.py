"""PyTorch's two exporters to ONNX behind one function: the quick one where it is right, the thorough one elsewhere."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from vision_ft.model.settled import settle

# The oldest that has every operator of the backbones tested; older runtimes can then load the model too.
OPSET = 18
# Batches that what was traced with two photos is tried on.
_TRIALS = (1, 3)
# How much tensors are changed, at most, to tell them apart.
_APART = 1e-3
# How far an output may be off, against the largest value in it.
_ALIKE = 1e-4

_log = logging.getLogger(__name__)


class Untranslatable(Exception):  # noqa: N818 - whoever asked knows whether it is an error
    """The exporter cannot translate a network; the message is its own reason."""


def to_graph(model: nn.Module, takes: str, example: torch.Tensor, gives: Sequence[str]) -> Any:
    """A module as an ONNX graph for any number of photos.

    Nothing in it is simplified, so that every parameter and buffer is there under its name. Tracing takes a tenth of
    the time of ``torch.export`` and writes down what one example does: where something else is true of other batches,
    or where PyTorch has no such exporter any more, ``torch.export`` does it.

    Args:
        model: in eval mode, on the CPU.
        takes: the name of the input.
        example: of two photos: with one, an exporter takes the batch for a constant.
        gives: the names of the outputs, of which there are several.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        Untranslatable: neither can do it.
    """
    try:
        apart = _told_apart(model)
        graph = settle(_traced(apart, takes, example, gives), _names(apart))
        if _is_right(graph, apart, example):
            return graph
        _log.debug("tracing gives another network; torch.export takes longer")
    except Exception as error:
        # Whatever it was, and of whatever type: the thorough exporter has its own word to say.
        _log.debug("tracing fails, torch.export takes longer: %s", error)
    return _captured(model, takes, example, gives)


def _told_apart(model: nn.Module) -> nn.Module:
    """A copy with no two tensors alike: the quick exporter keeps one of those that are, and would mix them up."""
    apart = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*apart.parameters(), *apart.buffers()):
            if tensor.is_floating_point():
                # Upwards, as a variance must not fall below zero.
                tensor.add_(torch.rand(tensor.shape, dtype=tensor.dtype, generator=generator), alpha=_APART)
    return apart


def _names(model: nn.Module) -> set[str]:
    found = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return {name for name, _ in found}


def _traced(model: nn.Module, takes: str, example: torch.Tensor, gives: Sequence[str]) -> Any:
    import onnx

    file: Any = io.BytesIO()
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            model,
            (example,),
            file,
            dynamo=False,
            input_names=[takes],
            output_names=list(gives),
            dynamic_axes={name: {0: "batch"} for name in (takes, *gives)},
            opset_version=OPSET,
            do_constant_folding=False,
        )
    return onnx.load_from_string(file.getvalue())


def _is_right(graph: Any, model: nn.Module, example: torch.Tensor) -> bool:
    """Whether a graph gives what its module gives, in batches of other sizes than the example."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for photos in _TRIALS:
        pixels = torch.randint(0, 256, (photos, *example.shape[1:]), dtype=example.dtype, generator=generator)
        with torch.no_grad():
            wanted = model(pixels)
        found = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
        for one, other in zip(map(torch.from_numpy, found), wanted, strict=True):
            if one.shape != other.shape or not (one - other).abs().max() <= _ALIKE * other.abs().max():
                return False
    return True


def _captured(model: nn.Module, takes: str, example: torch.Tensor, gives: Sequence[str]) -> Any:
    batch = torch.export.Dim("batch", min=1, max=65536)
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=[takes],
                output_names=list(gives),
                dynamic_shapes=({0: batch},),
                opset_version=OPSET,
                optimize=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise Untranslatable(str(error).strip().splitlines()[-1][:300]) from error
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What exporters say of themselves, of how they are to be called and of shapes that they cannot know, unsaid."""
    chatty = logging.getLogger("torch.onnx")
    level = chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        chatty.setLevel(level)
