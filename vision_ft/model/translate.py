"""Networks as ONNX graphs."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn

from vision_ft.model.exporters import Untranslatable as Untranslatable
from vision_ft.model.exporters import to_graph
from vision_ft.model.network import Network
from vision_ft.model.places import Places
from vision_ft.model.trunk import Trunk
from vision_ft.spec import PIXELS, PLACES

FEATURES, LOGITS = "features", "logits"


class Translation:
    """A network as a graph that is made once, when it is first needed.

    Making it takes seconds. Taking a part out of it, with the weights that a network has by then, takes a moment: what
    looks at photos for the head, what serves the training below the boundary and what is handed over in the end are
    all of one translation.
    """

    def __init__(self, network: Network) -> None:
        """Translate nothing yet.

        Args:
            network: on the CPU, when it comes to it.
        """
        self._network = network
        self._graph: Any = None
        self._outputs: list[str] = []
        self._fault: Untranslatable | None = None
        # What is put in when a part is taken, and its type; and what the graph holds as constants: a network with other
        # values is another one.
        self._slots: dict[str, torch.dtype] = {}
        self._fixed: dict[str, torch.Tensor] = {}

    @property
    def made(self) -> bool:
        """Whether the seconds have been spent."""
        return self._graph is not None

    def boundary(self, pieces: int) -> str:
        """The name of what comes out of the lowest pieces of the trunk."""
        return f"boundary_{pieces}"

    def part(self, output: str, network: Network) -> bytes:
        """A graph with one output, for any number of photos.

        Args:
            output: FEATURES, LOGITS, or what :meth:`boundary` gives.
            network: whose weights are put in; built like the one that is translated.

        Returns:
            The bytes of the ONNX file, weights inside. It takes uint8 pixels (photos, height, width, 3) as PIXELS.

        Raises:
            Untranslatable: it cannot be done, or the network is built otherwise.
        """
        data: bytes = self._taken([output], network).SerializeToString()
        return data

    def whole(self, network: Network) -> Any:
        """All that a bundle needs, as an ``onnx.ModelProto`` with the outputs FEATURES and LOGITS, and PLACES (float32
        (photos, rows, columns, classes), see :class:`Places`) where the network has such.

        Args:
            network: whose weights are put in; built like the one that is translated.

        Raises:
            Untranslatable: it cannot be done, or the network is built otherwise.
        """
        if self._graph is None:
            self._translate()
        return self._taken([name for name in (FEATURES, LOGITS, PLACES) if name in self._outputs], network)

    def _taken(self, outputs: list[str], network: Network) -> Any:
        import onnx.utils
        import onnxscript.optimizer

        if self._graph is None:
            self._translate()
        tensors = _tensors(network)
        if any(not torch.equal(tensors.get(name, torch.empty(0)), fixed) for name, fixed in self._fixed.items()):
            raise Untranslatable("the weights cannot be put into the graph")
        whole = copy.deepcopy(self._graph)
        for slot in whole.graph.initializer:
            if slot.name not in self._slots:
                continue
            if slot.name not in tensors:
                raise Untranslatable(f"the network has no {slot.name}")
            tensor = tensors[slot.name].detach().cpu().contiguous()
            if (tuple(slot.dims), self._slots[slot.name]) != (tuple(tensor.shape), tensor.dtype):
                raise Untranslatable(f"{slot.name} has another shape or type")
            slot.raw_data = tensor.flatten().view(torch.uint8).numpy().tobytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            taken: Any = onnx.utils.Extractor(whole).extract_model([PIXELS], outputs)
            return onnxscript.optimizer.optimize(taken)

    def _translate(self) -> None:
        if self._fault is not None:
            raise self._fault
        training = self._network.training
        self._network.eval()
        try:
            graph, self._outputs = self._exported()
        except Untranslatable as fault:
            self._fault = fault
            raise
        finally:
            self._network.train(training)
        tensors = _tensors(self._network)
        for slot in graph.graph.initializer:
            if slot.name in tensors:
                # Put in when they are needed: weights would be held twice otherwise, and old ones at that.
                slot.ClearField("raw_data")
                self._slots[slot.name] = tensors[slot.name].dtype
        self._fixed = {name: tensor.detach().clone() for name, tensor in tensors.items() if name not in self._slots}
        self._graph = graph

    def _exported(self) -> tuple[Any, list[str]]:
        """The graph and its outputs; one that cannot be translated with the logits of places is without them."""
        network, trunk = self._network, self._network.trunk()
        places = Places.of(network.backbone, network.normalised(network.noise().to(network.mean.device)))
        for found in dict.fromkeys([places, None]):
            model = _Whole(network, trunk, found)
            try:
                return _export(model), model.outputs
            except Untranslatable:
                if found is None:
                    raise
        raise AssertionError


class _Whole(nn.Module):
    """All that is of use of a network."""

    def __init__(self, network: Network, trunk: Trunk | None, places: Places | None) -> None:
        super().__init__()
        self.network = network
        self.trunk = trunk
        self.places = places

    @property
    def outputs(self) -> list[str]:
        pieces = 0 if self.trunk is None else self.trunk.pieces
        names = [*(f"boundary_{piece + 1}" for piece in range(pieces)), FEATURES, LOGITS]
        return names if self.places is None else [*names, PLACES]

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        backbone: Any = self.network.backbone
        normal = self.network.normalised(pixels)
        reached = [] if self.trunk is None else self.trunk.all_below(normal)
        maps = reached[-1] if reached else backbone.forward_features(normal)
        found = (*reached, backbone.forward_head(maps, pre_logits=True), backbone.forward_head(maps))
        return found if self.places is None else (*found, self.places(maps))


def _tensors(network: Network) -> dict[str, torch.Tensor]:
    """All that a network is made of, by the names that the graph has for them, but for counters."""
    found = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    return {f"network.{name}": tensor for name, tensor in found if not name.endswith("num_batches_tracked")}


def _export(model: _Whole) -> Any:
    """Nothing is simplified yet, so that every tensor is there by its name.

    Raises:
        Untranslatable: it cannot be done.
    """
    framing = model.network.preprocessing.framing
    example = torch.zeros((2, framing.height, framing.width, 3), dtype=torch.uint8)
    return to_graph(model.eval(), PIXELS, example, model.outputs)
