"""While stages are frozen: what reaches the boundary comes from the fastest engine, and of the same view only once."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import pytorch_lightning as pl
import torch

from vision_ft.data.listing import TRAIN, VAL
from vision_ft.data.loading import PhotoDataset
from vision_ft.model.classifier import Classifier
from vision_ft.model.translate import Translation
from vision_ft.model.trunk import Trunk
from vision_ft.train.eyes import ByTorch, Eyes, can_round, fastest
from vision_ft.train.looking import Cache
from vision_ft.train.precision import HALF
from vision_ft.train.slots import Slots
from vision_ft.train.unfreeze import Unfreeze

_log = logging.getLogger(__name__)


class Boundary(pl.Callback):
    """Cuts the network where training begins, for as long as it begins there.

    The part below is frozen: it takes no gradient, keeps no activations, and runs in the engine that is fastest. What
    it makes of validation photos is kept, in float32, for no stage below the lowest that has trained is another in any
    of the weights that are scored. What it makes of training views is kept, in bfloat16, where epochs go through the
    same views again (``data.views``). Photos of which everything is known are not even read.
    """

    def __init__(self, unfreeze: Unfreeze, cache: Cache, translation: Translation) -> None:
        """Cut nothing yet.

        Args:
            unfreeze: says what is frozen.
            cache: where to keep things, and how much.
            translation: of the network.
        """
        self._translation = translation
        self._unfreeze = unfreeze
        self._cache = cache
        self._trunk: Trunk | None = None
        self._lowest = 0
        self._sides: dict[str, _Side] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the trunk, and where it was cut in the epochs that a resumed run has behind it."""
        model = cast(Classifier, pl_module)
        if trainer.fast_dev_run or model.network.compiled or not self._cache.boundary:  # type: ignore[attr-defined]
            return
        if str(trainer.precision) == "64-true":
            # Whoever asks for that many digits gets them.
            return
        self._trunk = model.network.trunk()
        if self._trunk is None:
            _log.info(
                "%s is no sequence of stages that is known; what is frozen runs in every step", model.backbone_name
            )
            return
        cuts = []
        for epoch in range(trainer.current_epoch + 1):
            self._unfreeze.apply(model, epoch)
            cuts.append(self._trunk.boundary())
        self._lowest = min(cuts)
        self._cut(trainer, model, self._trunk)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Cut where this epoch begins to train, if that is elsewhere."""
        if self._trunk is not None:
            self._cut(trainer, cast(Classifier, pl_module), self._trunk)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the network whole."""
        cast(Classifier, pl_module).shortcut = None
        for side in self._sides.values():
            side.loader.sampler.skips = None
        self._sides = {}

    def _cut(self, trainer: pl.Trainer, model: Classifier, trunk: Trunk) -> None:
        self._unfreeze.apply(model, trainer.current_epoch)
        boundary = trunk.boundary()
        self._lowest = min(self._lowest, boundary)
        # What is blended with another photo is a photo of its own. And on a GPU there is no faster engine than PyTorch.
        gains = not model.mixes and (trainer.strategy.root_device.type == "cpu" or _recur(trainer))
        wanted = {TRAIN: boundary if gains else 0, VAL: self._lowest}
        before = {part: side.boundary for part, side in self._sides.items()}
        changed = {part: place for part, place in wanted.items() if before.get(part, 0) != place}
        # What weights are judged by is not rounded.
        rounds = {TRAIN: str(trainer.precision) == HALF and can_round(), VAL: False}
        kinds = {(place, rounds[part]) for part, place in changed.items()}
        engines = {kind: self._engine(trainer, model, trunk, kind[0], rounded=kind[1]) for kind in kinds}
        for part, place in changed.items():
            self._sides[part] = self._side(trainer, model, part, trunk, place, engines[place, rounds[part]])
        model.shortcut = self._shortcut if self._sides else None

    def _engine(self, trainer: pl.Trainer, model: Classifier, trunk: Trunk, boundary: int, *, rounded: bool) -> Eyes:
        """The fastest way from pixels to a boundary; in bfloat16 on a CPU only where ``rounded`` says so."""
        network, device = model.network, trainer.strategy.root_device
        on_cpu = device.type == "cpu"
        # On a CPU the engine's float32 is faster than PyTorch's bfloat16, and exact.
        context: Any = nullcontext if on_cpu else trainer.precision_plugin.forward_context
        by_torch = ByTorch(lambda pixels: trunk.below(network.normalised(pixels), boundary), device, context)
        if not boundary or not on_cpu or str(trainer.precision) not in ("32-true", "bf16-mixed"):
            return by_torch
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        views = min(trainer.max_epochs or 1, data.views or trainer.max_epochs or 1)
        photos = views * int(trainer.num_training_batches) * data.batch_size
        parameters = sum(parameter.numel() for parameter in network.parameters())
        name = self._translation.boundary(boundary)
        graph = functools.partial(self._translation.part, name, network)
        return fastest(by_torch, graph, network.noise(), photos, parameters, rounded=rounded)

    def _side(
        self, trainer: pl.Trainer, model: Classifier, part: str, trunk: Trunk, boundary: int, eyes: Eyes
    ) -> _Side:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        loader: Any = trainer.train_dataloader if part == TRAIN else trainer.val_dataloaders or data.val_dataloader()
        again = boundary > 0 and (part == VAL or _recur(trainer))
        # Whatever is kept is rounded at once: a view is the same the first time and later.
        side = _Side(
            trunk,
            boundary,
            eyes,
            Slots(self._cache.root, self._cache.bytes if again else 0),
            torch.bfloat16 if part == TRAIN and again else torch.float32,
            model.network.mean.dtype,
            loader,
            lambda: trainer.current_epoch,
        )
        loader.sampler.skips = side.knows if again else None
        return side

    def _shortcut(self, part: str, batch: Any) -> torch.Tensor | None:
        side = self._sides.get(part)
        # A batch may have been on its way when everything below began to train.
        return side.logits(batch) if side is not None and (side.boundary or any(batch.skipped)) else None


def _recur(trainer: pl.Trainer) -> bool:
    """Whether epochs go through the same views again."""
    views = trainer.datamodule.views  # type: ignore[attr-defined]
    return views is not None and views < (trainer.max_epochs or 0)


class _Side:
    """The photos of one part, and what is known of them at the boundary."""

    def __init__(
        self,
        trunk: Trunk,
        boundary: int,
        eyes: Eyes,
        kept: Slots,
        dtype: torch.dtype,
        gives: torch.dtype,
        loader: Any,
        epoch: Callable[[], int],
    ) -> None:
        """Know nothing yet.

        Args:
            trunk: of the network.
            boundary: how many pieces of it lie below.
            eyes: give what reaches it of pixels.
            kept: what reached it before.
            dtype: in which it is kept.
            gives: in which it is handed on.
            loader: of the part.
            epoch: says which one it is.
        """
        self.boundary = boundary
        self._trunk = trunk
        self._eyes = eyes
        self._kept = kept
        self._dtype = dtype
        self._gives = gives
        self.loader = loader
        self._dataset: PhotoDataset = loader.dataset
        self._epoch = epoch

    def knows(self, epoch: int, row: int) -> bool:
        """Whether a photo need not be read in an epoch."""
        return (row, self._dataset.view(epoch)) in self._kept

    def logits(self, batch: Any) -> torch.Tensor:
        """Of a batch: (photos, classes)."""
        reached = self._reached(batch).to(batch.labels.device, self._gives)
        if reached.ndim == 4:
            reached = reached.contiguous(memory_format=torch.channels_last)
        return self._trunk.above(reached, self.boundary)

    def _reached(self, batch: Any) -> torch.Tensor:
        view = self._dataset.view(self._epoch())
        places = [(row, view) for row in batch.places]
        fresh = [place for place, key in enumerate(places) if key not in self._kept]
        if not fresh:
            return self._kept.get(places)
        pixels = batch.pixels
        for place in fresh:
            if batch.skipped[place]:
                # It was known when its turn was near; what was known then is of no more use.
                pixels[place] = torch.tensor(self._dataset.pixels(batch.places[place], view))
        whole = len(fresh) == len(places)
        found = self._eyes(pixels if whole else pixels[fresh]).to(self._dtype)
        self._kept.put([places[place] for place in fresh], found)
        if whole:
            return found
        reached = torch.empty(len(places), *found.shape[1:], dtype=self._dtype, device=found.device)
        reached[fresh] = found
        old = [place for place in range(len(places)) if place not in set(fresh)]
        reached[old] = self._kept.get([places[place] for place in old]).to(found.device)
        return reached
