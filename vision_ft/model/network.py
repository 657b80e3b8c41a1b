"""The network apart from Lightning: pixels in, logits out, and stages that can be frozen."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from vision_ft.errors import ConfigError
from vision_ft.model.lora import add_adapters, is_adapter, merged, plain_name, unmerged
from vision_ft.model.stages import HEAD, Stages, stages_of
from vision_ft.model.trunk import Trunk
from vision_ft.spec import Preprocessing

_log = logging.getLogger(__name__)


class Network(nn.Module):
    """A backbone behind its own normalisation.

    Attributes:
        stages: the names of what can be frozen, from the bottom to the head.
        preprocessing: what a photo goes through before :meth:`forward`.
        adapted: the stages that have adapters.
        compiled: whether the backbone is compiled.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: nn.Module, preprocessing: Preprocessing) -> None:
        """Wrap a timm classifier; everything trains until :meth:`train_only` says otherwise."""
        super().__init__()
        # Pixels arrive with channels last, so convolutions are asked to work in that order: about twice as fast on
        # a CPU, and what tensor cores want.
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.preprocessing = preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean))
        self.register_buffer("std", torch.tensor(preprocessing.std))
        self._stages = stages_of(backbone)
        self.stages = self._stages.names
        self._frozen: frozenset[str] = frozenset()
        self._batch_norm_frozen = False
        self.adapted: tuple[str, ...] = ()
        self.compiled = False

    def compile_backbone(self) -> None:
        """Let PyTorch compile the backbone when it is first used, and anew whenever something else trains."""
        if not self.compiled:
            # In place, and not wrapped: the tensors keep their names.
            self.backbone.compile()
            self.compiled = True

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits of framed photos.

        Args:
            pixels: uint8 (photos, height, width, 3), RGB.

        Returns:
            float (photos, classes).
        """
        logits: torch.Tensor = self.backbone(self.normalised(pixels))
        return logits

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the head sees of framed photos.

        Args:
            pixels: uint8 (photos, height, width, 3), RGB.

        Returns:
            float (photos, features).
        """
        backbone: Any = self.backbone
        maps = backbone.forward_features(self.normalised(pixels))
        pooled: torch.Tensor = backbone.forward_head(maps, pre_logits=True)
        return pooled

    def trunk(self) -> Trunk | None:
        """The backbone as a sequence of pieces, as it is now; ``None`` where it is not known to be one."""
        training = self.training
        self.eval()
        found = Trunk.of(self.backbone, self.normalised(self.noise().to(self.mean.device)))
        self.train(training)
        return found

    def noise(self) -> torch.Tensor:
        """Two photos of nothing, the same every time, to see how the network is built: uint8, on the CPU."""
        framing = self.preprocessing.framing
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (2, framing.height, framing.width, 3), dtype=torch.uint8, generator=generator)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the backbone takes, (photos, 3, height, width), of uint8 pixels (photos, height, width, 3)."""
        normal = (pixels.float() / 255 - self.mean.float()) / self.std.float()
        # A network that is all bfloat16 takes nothing else.
        return normal.to(self.mean.dtype).permute(0, 3, 1, 2)

    def adapt(self, stages: Sequence[str], rank: int) -> None:
        """Put low-rank adapters beside the layers of some stages; they change nothing until they are trained.

        Args:
            stages: names out of :attr:`stages`.
            rank: of the adapters.

        Raises:
            ConfigError: none of them has a layer that could have one.
        """
        framing = self.preprocessing.framing
        training = self.training
        self.eval()
        before = self._stages
        modules = [name for name, stage in before.of_module.items() if stage in stages]
        found = add_adapters(self.backbone, modules, rank, torch.zeros(1, 3, framing.height, framing.width))
        if not found:
            raise ConfigError(f"unfreeze: no layer of {', '.join(stages)} takes an adapter; train without lora")
        if bare := [stage for stage in stages if stage not in {before.of_module[name] for name in found}]:
            _log.warning("no layer of %s takes an adapter; nothing of it trains in phases with lora", ", ".join(bare))
        self._stages = Stages(
            names=before.names,
            of_tensor={
                name: before.of_tensor[plain_name(name)]
                for kind in (self.backbone.named_parameters(), self.backbone.named_buffers())
                for name, _ in kind
            },
            of_module={
                name: before.of_module[plain_name(name)]
                for name, _ in self.backbone.named_modules()
                if plain_name(name) in before.of_module
            },
        )
        self.adapted = tuple(stage for stage in stages if stage in {before.of_module[name] for name in found})
        self.train(training)

    def plain_state(self) -> dict[str, torch.Tensor]:
        """The tensors as they act, adapters added up, under the names that they have without adapters."""
        state = dict(self.state_dict())
        return merged(self, state) if self.adapted else state

    def load_plain_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take over what :meth:`plain_state` gave; adapters then add nothing."""
        self.load_state_dict(unmerged(self, state) if self.adapted else state)

    def parameters_of(self, stage: str) -> list[tuple[str, nn.Parameter]]:
        """Names (as in this module) and parameters of one stage."""
        of = self._stages.of_tensor
        return [
            (f"backbone.{name}", parameter) for name, parameter in self.backbone.named_parameters() if of[name] == stage
        ]

    def buffers_of(self, stage: str) -> list[tuple[str, torch.Tensor]]:
        """Names (as in this module) and buffers of one stage."""
        of = self._stages.of_tensor
        return [(f"backbone.{name}", buffer) for name, buffer in self.backbone.named_buffers() if of[name] == stage]

    def train_only(self, stages: Iterable[str], *, batch_norm_frozen: bool, adapters: bool = False) -> None:
        """Let some stages train and freeze the others.

        A frozen stage takes no gradient and is in eval mode whole: its BatchNorm keeps its statistics, and its
        stochastic depth and dropout are off.

        Args:
            stages: names out of :attr:`stages`.
            batch_norm_frozen: whether BatchNorm in stages that train keeps its statistics too; its scale and shift
                train all the same.
            adapters: whether adapters train in the place of everything else; the head has none, and trains itself.
        """
        trained = frozenset(stages)
        before = [parameter.requires_grad for parameter in self.parameters()]
        self._frozen = frozenset(self.stages) - trained
        self._batch_norm_frozen = batch_norm_frozen
        for stage in self.stages:
            for name, parameter in self.parameters_of(stage):
                means_it = stage == HEAD or is_adapter(name) == adapters
                parameter.requires_grad_(stage in trained and means_it)
        if self.compiled and before != [parameter.requires_grad for parameter in self.parameters()]:
            # What was compiled for the phases before is of no more use, but counts: after eight variants PyTorch would
            # go on without compiling.
            torch.compiler.reset()
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Train or eval mode, but for what is frozen. Lightning calls this often; each call applies the state anew."""
        super().train(mode)
        if mode:
            for name, module in self.backbone.named_modules():
                frozen = self._stages.of_module.get(name) in self._frozen
                if frozen or (self._batch_norm_frozen and isinstance(module, _NormBase)):
                    # Not ``eval()``, which would descend into modules of other stages.
                    module.training = False
        return self
