"""The LightningModule: loss, metrics and the optimizer's groups."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, cast

import pytorch_lightning as pl
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy

from vision_ft.errors import CheckpointError, ConfigError
from vision_ft.model.backbone import build
from vision_ft.model.checkpoint import RECORD, SCHEMA, Record
from vision_ft.model.depthwise import exact, quick_depthwise
from vision_ft.model.mixing import Mixing
from vision_ft.model.network import Network
from vision_ft.spec import Preprocessing, WeightsOrigin

# Where PyTorch has a fused step.
_FUSED = frozenset({"cpu", "cuda", "mps", "xpu"})


class _Batch(Protocol):
    @property
    def pixels(self) -> torch.Tensor: ...
    @property
    def labels(self) -> torch.Tensor: ...
    @property
    def unreadable(self) -> list[tuple[str, str]]: ...
    @property
    def skipped(self) -> list[bool]: ...


# A shorter way to the logits (photos, classes) of a batch of a part than through the whole network, where there is one.
Shortcut: TypeAlias = Callable[[str, Any], torch.Tensor | None]


class Judged(NamedTuple):
    """How a network does on each photo.

    Attributes:
        losses: float32 (photos,): -ln(probability of the label).
        right: bool (photos,): whether the most probable class is the label's.
    """

    losses: torch.Tensor
    right: torch.Tensor


def judged(logits: torch.Tensor, labels: torch.Tensor) -> Judged:
    """Compare logits (photos, classes) with labels (photos,).

    In float32 also under autocast: a loss in bfloat16 has two or three digits.
    """
    single = logits.float()
    return Judged(F.cross_entropy(single, labels, reduction="none"), single.argmax(1) == labels)


def setting_faults(**settings: float | None) -> list[str]:
    """What is wrong with the numbers among a classifier's settings; ``None`` stands for one that is not given."""
    faults = []
    for name, value in settings.items():
        if value is None:
            continue
        if name in ("label_smoothing", "dropout", "drop_path"):
            if not 0 <= value < 1:
                faults.append(f"model.{name} is {value:g}, must be in [0, 1)")
        elif not 0 <= value < math.inf:
            faults.append(f"model.{name} is {value:g}, must be 0 or more")
    return faults


class Classifier(pl.LightningModule):
    """A pretrained backbone with a head for some classes, trained with cross-entropy by AdamW."""

    def __init__(
        self,
        classes: Sequence[str],
        backbone: str = "tf_efficientnet_lite0",
        weights: str = "builtin:",
        image_size: int | None = None,
        weight_decay: float = 0.01,
        label_smoothing: float = 0.0,
        dropout: float | None = None,
        drop_path: float | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        head_start: Literal["pretrained", "zero"] = "pretrained",
        renamed: dict[str, str] | None = None,
        compile: bool = False,
    ) -> None:
        """Build the network and load its weights.

        Args:
            classes: names in the order of the logits; the command line takes them from the data.
            backbone: timm's name of a classifier, for example resnet50 or convnext_tiny.in12k_ft_in1k.
            weights: where pretrained weights come from: builtin:, timm:, file:PATH, bundle:PATH or random:.
            image_size: height and width of the network's input; the weights' own if not given.
            weight_decay: of AdamW, for all but norms and biases.
            label_smoothing: the share of each label that is spread over all classes, in [0, 1).
            dropout: the share of features that the head is not shown while it trains, in [0, 1); timm's own for the
                backbone if not given.
            drop_path: the share of residual blocks that are skipped while they train, rising to it from the bottom
                (stochastic depth), in [0, 1); timm's own if not given, and not for every backbone.
            mixup: how strongly pairs of photos are blended, 0 for not at all; 0.2 is usual.
            cutmix: how strongly boxes of photos are pasted into others, 0 for not at all; 1 is usual. With both set,
                each batch gets the one or the other.
            head_start: whether the head begins with the rows of the pretrained classifier that stand for these classes
                (ImageNet's, or those of a bundle), where there are such, or from zero.
            renamed: going on from a bundle, the new names of classes by their old ones, so that their rows are found.
            compile: whether PyTorch compiles the backbone, anew in each phase: half a minute or more before the first
                step of each. Takes a C++ compiler.

        Raises:
            ConfigError: a setting is out of range, or timm has no such backbone.
            WeightsError: the weights cannot be had.
        """
        super().__init__()
        asked = {"dropout": ("drop_rate", dropout), "drop_path": ("drop_path_rate", drop_path)}
        faults = []
        if len(set(classes)) != len(classes) or len(classes) < 2:
            faults.append(f"model.classes is {list(classes)}, must be two names or more, each once")
        shares = {"label_smoothing": label_smoothing, **{name: share for name, (_, share) in asked.items()}}
        faults += setting_faults(weight_decay=weight_decay, mixup=mixup, cutmix=cutmix, **shares)
        if faults:
            raise ConfigError("; ".join(faults))
        self.classes = tuple(classes)
        self.backbone_name = backbone
        self._image_size = image_size
        self._weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        settings = {timms: share for timms, share in asked.values() if share is not None}
        keep_head = head_start == "pretrained"
        built = build(backbone, weights, classes, image_size, keep_head=keep_head, renamed=renamed, **settings)
        self.origin: WeightsOrigin = built.origin
        self.known = built.known
        self.network = Network(built.module, built.preprocessing)
        self.unreadable: dict[str, str] = {}
        # What a checkpoint is to say of the weights in it.
        self.chosen: dict[str, Any] | None = None
        self.shortcut: Shortcut | None = None
        self._lora: tuple[tuple[str, ...], int] | None = None
        self._mixing = Mixing(len(classes), mixup, cutmix)
        self._compile = compile
        self._metrics = torch.nn.ModuleDict()
        for part in ("train", "val", "test"):
            # Neither looks at what it is given: that would hold up every step until the device is done with it.
            self._metrics[f"{part}/loss"] = MeanMetric(nan_strategy="disable")
            self._metrics[f"{part}/accuracy"] = MulticlassAccuracy(len(classes), average="micro", validate_args=False)
        for name in ("train/loss", "train/accuracy"):
            # A run that is resumed in the middle of an epoch goes on counting.
            self._metric(name).persistent(True)

    def adapt(self, stages: Sequence[str], rank: int) -> None:
        """Put low-rank adapters beside the layers of some stages; see :meth:`Network.adapt`."""
        self.network.adapt(stages, rank)
        self._lora = (tuple(stages), rank)

    def setup(self, stage: str) -> None:
        """Compile what trains, now that adapters are in."""
        if self._compile and stage == "fit":
            self.network.compile_backbone()

    @property
    def preprocessing(self) -> Preprocessing:
        """What a photo goes through before the network; the data module frames photos by it."""
        return self.network.preprocessing

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (photos, classes) of uint8 pixels (photos, height, width, 3)."""
        logits: torch.Tensor = self.network(pixels)
        return logits

    def on_train_epoch_start(self) -> None:
        """Count from nothing; what a checkpoint brought along is of the epoch before."""
        self.count_anew()

    def count_anew(self) -> None:
        """Forget what was counted of an epoch that is over."""
        for name in ("train/loss", "train/accuracy"):
            self._metric(name).reset()

    def training_step(self, batch: _Batch, batch_idx: int) -> torch.Tensor | None:
        """Cross-entropy, with label smoothing, MixUp and CutMix where set.

        What is logged is the plain cross-entropy; of mixed photos, that of their mixed labels, and the accuracy counts
        the larger share.
        """
        if not self._has_photos(batch):
            return None
        with quick_depthwise(self.device):
            logits, wanted = self._answers(batch)
        loss = F.cross_entropy(logits, wanted)
        self._count("train", loss.detach(), logits.detach(), wanted.argmax(1) if self._mixing else wanted)
        return self._smoothed(logits, wanted) if self.label_smoothing else loss

    def loss(self, batch: _Batch) -> torch.Tensor:
        """What :meth:`training_step` has trained on, without a log of it."""
        with quick_depthwise(self.device):
            answers = self._answers(batch)
        return self._smoothed(*answers)

    @property
    def compiles(self) -> bool:
        """Whether the backbone is to be compiled."""
        return self._compile

    @property
    def mixes(self) -> bool:
        """Whether photos are blended with each other while they train."""
        return bool(self._mixing)

    def _answers(self, batch: _Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and labels of a batch as it is trained on, mixed where that is set."""
        if self._mixing:
            pixels, wanted = self._mixing(batch.pixels, batch.labels)
            return self(pixels).float(), wanted
        return self._logits("train", batch).float(), batch.labels

    def _logits(self, part: str, batch: _Batch) -> torch.Tensor:
        found = None if self.shortcut is None else self.shortcut(part, batch)
        if found is None and any(batch.skipped):
            raise RuntimeError("photos were not read, and nothing is known of them")
        logits: torch.Tensor = self(batch.pixels) if found is None else found
        return logits

    def _smoothed(self, logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, wanted, label_smoothing=self.label_smoothing)

    def validation_step(self, batch: _Batch, batch_idx: int) -> Judged | None:  # type: ignore[override]
        """Log-loss and accuracy on validation photos; returns them for each photo."""
        return self._judge(batch, "val")

    def test_step(self, batch: _Batch, batch_idx: int) -> None:
        """Log-loss and accuracy on test photos."""
        self._judge(batch, "test")

    def judge(self, batch: _Batch) -> Judged:
        """How the network does on validation photos; nothing is logged."""
        with exact(self.device):
            return judged(self._logits("val", batch), batch.labels)

    def _judge(self, batch: _Batch, part: str) -> Judged | None:
        if not self._has_photos(batch):
            return None
        # What decides is not rounded where that costs little.
        with exact(self.device):
            logits = self._logits(part, batch)
        found = judged(logits, batch.labels)
        self._count(part, found.losses.mean(), logits.float(), batch.labels)
        return found

    def _has_photos(self, batch: _Batch) -> bool:
        """Take note of photos that broke since the data was read; whether any others are left."""
        self.unreadable.update(batch.unreadable)
        return len(batch.labels) > 0

    def _count(self, part: str, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        mean_loss, accuracy = self._metric(f"{part}/loss"), self._metric(f"{part}/accuracy")
        # Once a photo; without its look at the values, the metric takes no weights.
        mean_loss.update(loss.expand(len(labels)))
        accuracy.update(logits, labels)
        self.log(f"{part}/loss", mean_loss, on_step=False, on_epoch=True)
        self.log(f"{part}/accuracy", accuracy, on_step=False, on_epoch=True)

    def _metric(self, name: str) -> Metric:
        return cast(Metric, self._metrics[name])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101) with every parameter in it from the start.

        Two groups a stage, with and without weight decay. What trains, and how fast, is for the schedule to say; the
        rates here are 0. A group added later would break resuming.
        """
        groups: list[dict[str, Any]] = []
        for stage in self.network.stages:
            parameters = [parameter for _, parameter in self.network.parameters_of(stage)]
            for decayed in (True, False):
                # Matrices and filters decay; norms and biases, which have one dimension, do not.
                chosen = [parameter for parameter in parameters if (parameter.ndim > 1) == decayed]
                if chosen:
                    decay = self._weight_decay if decayed else 0.0
                    groups.append({"params": chosen, "weight_decay": decay, "stage": stage})
        return torch.optim.AdamW(groups, lr=0.0, fused=self._fused)

    @property
    def _fused(self) -> bool:
        """Whether a step of all parameters is one operation, which also keeps its count on the device."""
        # Lightning does not clip gradients that such a step would scale back itself, as with 16-mixed.
        if self._trainer is None:
            return self.device.type in _FUSED
        return self.trainer.strategy.root_device.type in _FUSED and self.trainer.precision != "16-mixed"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down what it takes to build this network again."""
        checkpoint[RECORD] = {
            "schema": SCHEMA,
            "backbone": self.backbone_name,
            "classes": list(self.classes),
            "image_size": self._image_size,
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "weights": dataclasses.asdict(self.origin),
            "chosen": self.chosen,
            "lora": None if self._lora is None else {"stages": list(self._lora[0]), "rank": self._lora[1]},
        }
        if self.chosen is not None and self._lora is not None:
            # What is kept to be used is a network like any other.
            plain = {f"network.{name}": tensor for name, tensor in self.network.plain_state().items()}
            rest = {name: value for name, value in checkpoint["state_dict"].items() if not name.startswith("network.")}
            checkpoint["state_dict"] = {**plain, **rest}
            checkpoint[RECORD]["lora"] = None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another network, and take over where its weights came from."""
        record = Record.of(checkpoint, "--ckpt_path")
        ours = (self.backbone_name, self.classes, dataclasses.asdict(self.preprocessing), self._lora)
        theirs = (record.backbone, record.classes, dataclasses.asdict(record.preprocessing), record.lora)
        names = ("model.backbone", "classes", "preprocessing", "the stages and the rank of lora")
        if wrong := [
            f"{name} is {mine}, in the checkpoint {other}"
            for name, mine, other in zip(names, ours, theirs, strict=True)
            if mine != other
        ]:
            raise CheckpointError(
                f"--ckpt_path: {'; '.join(wrong)}; use the settings of its run, with --config RUN/config.yaml"
            )
        self.origin = record.weights
        for optimizer in checkpoint.get("optimizer_states", []):
            for group in optimizer["param_groups"]:
                # Of this run and not of the one that is resumed, which may have had another precision or device.
                group["fused"] = self._fused
