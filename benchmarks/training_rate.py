"""Images a second in training, phase by phase, against the same step on a batch that already lies on the device.

The first is ``vision-ft fit`` as it is: files are read, decoded, cropped and jittered by the loader's processes, moved
to the device, and trained on by Lightning's loop with all callbacks of ours. The second is the network's forward and
backward pass and the optimizer's step, again and again on one batch. Their ratio says how much of the device the rest
leaves unused. Beside them stands what the loader gives when nobody trains.

Weights are random: their values are of no account for the time. Photos are used several times over, under other names,
so that an epoch is long enough for what the loader has read ahead not to matter.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from vision_ft.data.listing import TRAIN
from vision_ft.files import walk_photos
from vision_ft.machine import describe
from vision_ft.model.backbone import stage_names
from vision_ft.model.classifier import Classifier
from vision_ft.train.cli import VisionCLI
from vision_ft.train.run import forget_run

BACKBONES = ["resnet50", "tf_efficientnet_lite0", "convnext_tiny", "vit_base_patch16_224"]
WARM = 5


@dataclass(frozen=True)
class Row:
    """A phase of a backbone; rates in photos a second."""

    backbone: str
    stages: str
    training: float
    on_device: float
    loader: float

    @property
    def ratio(self) -> float:
        return self.training / self.on_device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of photos, labelled or not")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--size", type=int, default=224, help="of the network's input; default: 224")
    parser.add_argument("--batch", type=int, default=64, help="photos a batch; default: 64")
    parser.add_argument("--steps", type=int, default=200, help="timed in each phase; default: 200")
    parser.add_argument("--bare-steps", type=int, default=30, help="on the device alone; default: 30")
    parser.add_argument("--workers", type=int, help="processes that read; fitted to the machine if not given")
    parser.add_argument("--augment", default="medium")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() and options.accelerator != "cpu" else "no GPU"
    print(f"{gpu}; {describe(['torch', 'timm', 'pytorch-lightning', 'pillow'])}")
    print(f"{options.size} pixels, {options.batch} photos a batch, {options.augment} views, {options.steps} steps")
    print("| backbone | what trains | training | step on the device | ratio | loader alone |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        many(list(walk_photos(options.photos)), Path(folder) / "photos", options.batch * (WARM + options.steps))
        for backbone in options.backbones:
            for row in measure(backbone, Path(folder), options):
                rows.append(row)
                print(line(row), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=1))


def many(photos: list[Path], folder: Path, count: int) -> None:
    """Links to the photos, each as often as it takes, in two classes; two a class for validation."""
    for part, number in (("train", count), ("val", 4)):
        for place in range(number):
            source = photos[place % len(photos)]
            link = folder / part / "ab"[place % 2] / f"{place}{source.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source.resolve())


def measure(backbone: str, folder: Path, options: argparse.Namespace) -> list[Row]:
    stages = len(stage_names(backbone))
    phases = [
        {"epochs": 1, "stages": count, "lr": 1e-6, "warmup": 0.0} for count in sorted({1, max(2, stages // 2), stages})
    ]
    timing = Timing(options.batch, options.steps, options.bare_steps)
    workers = [] if options.workers is None else ["--data.num_workers", str(options.workers)]
    cli = Timed(
        [
            "fit", "--data.root", str(folder / "photos"), "--model.backbone", backbone, "--model.weights", "random:",
            "--model.image_size", str(options.size), "--data.batch_size", str(options.batch), "--data.augment",
            options.augment, "--unfreeze.phases", json.dumps(phases), "--unfreeze.fit_head", "false",
            "--trainer.accelerator", options.accelerator, "--trainer.devices", "1",
            "--trainer.limit_train_batches", str(WARM + options.steps), "--run.folder", str(folder / "runs"),
            "--model.compile", str(options.compile).lower(),
            *workers,
        ],
        timing,
    )  # fmt: skip
    forget_run()
    loader = loader_alone(cli, options)
    names = [f"{phase['stages']} of {stages} stages" for phase in phases]
    return [
        Row(backbone, what, training, bare, loader) for what, (training, bare) in zip(names, timing.rates, strict=True)
    ]


def loader_alone(cli: VisionCLI, options: argparse.Namespace) -> float:
    """What the loader's processes give when nothing else is done."""
    steps = min(options.steps, len(cli.datamodule.manifest.part(TRAIN)) // options.batch - WARM)
    batches = iter(cli.datamodule.train_dataloader())
    for _ in islice(batches, WARM):
        pass
    began = time.perf_counter()
    photos = sum(len(batch.labels) for batch in islice(batches, steps))
    return photos / (time.perf_counter() - began)


class Timed(VisionCLI):
    """A fit with a stopwatch in front of everything else that listens."""

    def __init__(self, args: list[str], timing: Timing) -> None:
        self._timing = timing
        super().__init__(args)

    def _fit_settings(self, settings: Any, callbacks: list[pl.Callback]) -> dict[str, Any]:
        changed = super()._fit_settings(settings, callbacks)
        callbacks.insert(0, self._timing)
        return changed


class Timing(pl.Callback):
    """Times the steps of each epoch behind the first few, and then the same step on its last batch."""

    def __init__(self, batch: int, steps: int, bare_steps: int) -> None:
        self._batch, self._steps, self._bare_steps = batch, steps, bare_steps
        self.rates: list[tuple[float, float]] = []
        self._began = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == WARM:
            synchronise(trainer)
            self._began = time.perf_counter()
        elif batch_idx + 1 == WARM + self._steps:
            synchronise(trainer)
            training = self._batch * self._steps / (time.perf_counter() - self._began)
            self.rates.append((training, self._bare(trainer, pl_module, batch)))

    def _bare(self, trainer: pl.Trainer, model: Classifier, batch: Any) -> float:
        (optimizer,) = trainer.optimizers
        for step in range(WARM + self._bare_steps):
            if step == WARM:
                synchronise(trainer)
                began = time.perf_counter()
            with trainer.precision_plugin.forward_context():
                loss = model.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            # Lightning's wrapper counts steps, and the run must not end early.
            getattr(optimizer, "optimizer", optimizer).step()
        synchronise(trainer)
        return len(batch.labels) * self._bare_steps / (time.perf_counter() - began)


def synchronise(trainer: pl.Trainer) -> None:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize()


def line(row: Row) -> str:
    return (
        f"| {row.backbone} | {row.stages} | {row.training:.1f} | {row.on_device:.1f} | {row.ratio:.2f} "
        f"| {row.loader:.0f} |"
    )


if __name__ == "__main__":
    main()
