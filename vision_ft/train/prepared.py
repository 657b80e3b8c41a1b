"""All that a fit is made of, without fitting: for trying settings out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch

from vision_ft.model.classifier import Classifier
from vision_ft.model.translate import Translation
from vision_ft.train.cli import VisionCLI
from vision_ft.train.head_first import fit_head


class Prepared(VisionCLI):
    """Settings, data, network and schedule as ``fit`` would have them; nothing is run, and no folder is made.

    One device: what is tried is what each of several would do.
    """

    def _run_subcommand(self, subcommand: str) -> None:
        """Leave it to whoever asked."""

    def _fit_settings(self, settings: Any, callbacks: list[pl.Callback]) -> dict[str, Any]:
        self.save_config_callback = None
        self.cache.clear_if_asked()
        return {"logger": False, "enable_checkpointing": False, "max_epochs": 1, "devices": 1, "strategy": "auto"}

    @property
    def device(self) -> torch.device:
        """Where it would train."""
        return self.trainer.strategy.root_device

    def to_device(self) -> None:
        """Move the network, and train its head as ``fit`` begins; phases are tried from there."""
        self.model.to(self.device)
        if self.unfreeze.fit_head:
            translation = Translation(self.model.network)
            where = self.trainer, self.model, self.datamodule
            fit_head(*where, lambda: None, self.console, self.cache, translation, self.unfreeze.head_views)

    def enter(self, phase: int) -> torch.optim.Optimizer:
        """Let a phase's stages train, as from its first epoch on; a fresh optimizer for it, its rates at 0."""
        epoch = self.schedule.begins()[phase]
        self.unfreeze.apply(self.model, epoch)
        self.model.setup("fit")
        self.model.train()
        return self.model.configure_optimizers()

    def batches(self) -> Iterator[Any]:
        """Training batches, on the device, without end."""
        loader: Any = self.datamodule.train_dataloader()
        epoch = 0
        while True:
            loader.sampler.set_epoch(epoch)
            for batch in loader:
                yield self.trainer.strategy.batch_to_device(batch)
            epoch += 1

    def loss(self, batch: Any, model: Classifier) -> torch.Tensor:
        """What a network would be trained on."""
        with self.trainer.precision_plugin.forward_context():
            return model.loss(batch)

    def step(self, batch: Any, optimizer: torch.optim.Optimizer) -> float:
        """A step as the trainer would make it.

        Returns:
            The batch's loss before the step.
        """
        loss = self.loss(batch, self.model)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())
