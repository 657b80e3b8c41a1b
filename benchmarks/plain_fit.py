"""Fine-tuning as it is usually written with PyTorch and Lightning: what ``benchmarks/fitting.py`` compares with."""

from __future__ import annotations

import json
import logging
import math
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from torch.nn import functional as F  # noqa: N812 - its usual name

from vision_ft.data.listing import TRAIN, VAL
from vision_ft.data.module import PhotoData
from vision_ft.model.backbone import build
from vision_ft.model.head import LinearHead
from vision_ft.model.network import Network
from vision_ft.train.regularise import Features, fit_best
from vision_ft.train.schedule import Phase, Schedule

CONFIG = Path(__file__).resolve().parents[1] / "configs/cats_dogs.yaml"


class Plain(pl.LightningModule):
    """The whole network in every step."""

    def __init__(self, network: Network, phase: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.schedule = Schedule([Phase(**phase)], network.stages)
        self.epochs: list[float] = []
        self.started = 0.0
        self.losses: list[torch.Tensor] = []
        self.right: list[torch.Tensor] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # As loaders usually give them: channels first.
        return self.network.backbone(self.network.normalised(pixels).contiguous())

    def on_train_epoch_start(self) -> None:
        self.started = time.monotonic()
        self.network.train_only(self.schedule.relative_rates(0), batch_norm_frozen=True)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return F.cross_entropy(self(batch.pixels), batch.labels)

    def on_train_epoch_end(self) -> None:
        self.epochs.append(time.monotonic() - self.started)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        loss = F.cross_entropy(self(batch.pixels), batch.labels)
        self.log("val_loss", loss, batch_size=len(batch.labels))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        logits = self(batch.pixels)
        self.losses.append(F.cross_entropy(logits, batch.labels, reduction="none"))
        self.right.append((logits.argmax(1) == batch.labels).float())

    def configure_optimizers(self) -> Any:
        rates, phase = self.schedule.relative_rates(0), self.schedule.phases[0]
        groups = [
            {"params": [parameter for _, parameter in self.network.parameters_of(stage)], "lr": phase.lr * rate}
            for stage, rate in rates.items()
        ]
        steps = int(self.trainer.estimated_stepping_batches)
        rising = max(1, int(phase.warmup * steps))

        def share(step: int) -> float:
            if step < rising:
                return (step + 0.5) / rising
            done = (step - rising) / max(1, steps - rising)
            return phase.final_lr + (1 - phase.final_lr) * (1 + math.cos(math.pi * done)) / 2

        optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def run(photos: Path, phase: dict[str, Any]) -> None:
    """Train, test and export; the last line printed is a JSON object."""
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    pl.seed_everything(0, verbose=False)
    settings = yaml.safe_load(CONFIG.read_text())
    data = PhotoData(
        str(photos), augment=settings["data"]["augment"], views=settings["data"]["views"], batch_size=32, num_workers=1
    )
    built = build("tf_efficientnet_lite0", "builtin:", data.classes)
    network = Network(built.module, built.preprocessing)
    network.backbone.to(memory_format=torch.contiguous_format)
    data.frame_as(network.preprocessing.framing)
    model = Plain(network, phase)
    solve_head(model, data)
    with tempfile.TemporaryDirectory() as folder:
        best = pl.callbacks.ModelCheckpoint(folder, monitor="val_loss")
        trainer = pl.Trainer(
            max_epochs=phase["epochs"],
            accelerator="cpu",
            callbacks=[best],
            logger=False,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, data)
        trainer.test(model, data, ckpt_path=best.best_model_path, verbose=False)
        framing = network.preprocessing.framing
        example = torch.zeros(2, framing.height, framing.width, 3, dtype=torch.uint8)
        batch = torch.export.Dim("batch", min=1, max=65536)
        torch.onnx.export(
            model.eval(), (example,), f"{folder}/model.onnx", dynamo=True, dynamic_shapes=({0: batch},), verbose=False
        )
    figures = {
        "log_loss": float(torch.cat(model.losses).mean()),
        "accuracy": float(torch.cat(model.right).mean()),
        "epoch": statistics.mean(model.epochs),
    }
    print(json.dumps(figures))


@torch.no_grad()
def solve_head(model: Plain, data: PhotoData) -> None:
    """Show every photo to the frozen backbone, and fit the head as ``fit`` does."""
    network = model.network.eval()
    head = LinearHead.of(network, network.noise())
    if head is None:
        raise TypeError("its head is no linear layer")
    parts = []
    for split in (TRAIN, VAL):
        seen = []
        for batch in data.plain_dataloader(split):
            pooled = network.backbone.forward_head(
                network.backbone.forward_features(network.normalised(batch.pixels).contiguous()), pre_logits=True
            )
            seen.append((pooled, batch.labels, batch.rows))
        values, labels, rows = (torch.cat(column) for column in zip(*seen, strict=True))
        parts.append(Features(values, labels, rows, len(rows)))
    with torch.enable_grad():
        found, _ = fit_best(parts[0], parts[1], head.read(), 0.0, data.groups(TRAIN))
    head.write(found)
