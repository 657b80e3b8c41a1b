"""Reading our own checkpoints, and only those."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from vision_ft.errors import CheckpointError
from vision_ft.model.backbone import create
from vision_ft.model.network import Network
from vision_ft.model.weights import brief
from vision_ft.spec import Preprocessing, WeightsOrigin, preprocessing_from

# The key of our record in a Lightning checkpoint, and the key under which Lightning keeps the data module's.
RECORD, DATA = "vision_ft", "PhotoData"
SCHEMA = 1
_PREFIX = "network."


@dataclass(frozen=True)
class Record:
    """What a checkpoint says of itself.

    Attributes:
        backbone: timm's name.
        classes: in the order of the logits.
        image_size: as set, ``None`` where the weights' own was taken.
        preprocessing: from photo to the network's input.
        weights: where training began.
        data: root, fingerprint, counts and golden photos of the data trained on; empty where there was none.
        chosen: which weights these are and how they did on the validation part, where they were chosen for it.
        lora: the stages that have adapters and their rank, where the tensors are those of a network with adapters.
        resumable: whether training can go on from it: it holds the optimizer's state too.
    """

    backbone: str
    classes: tuple[str, ...]
    image_size: int | None
    preprocessing: Preprocessing
    weights: WeightsOrigin
    data: dict[str, Any]
    chosen: dict[str, Any]
    lora: tuple[tuple[str, ...], int] | None
    resumable: bool

    @classmethod
    def of(cls, checkpoint: dict[str, Any], where: str) -> Self:
        """Take the record out of a checkpoint that was read.

        Raises:
            CheckpointError: there is none, or one of another schema.
        """
        record = checkpoint.get(RECORD)
        if not isinstance(record, dict) or "state_dict" not in checkpoint:
            raise CheckpointError(
                f"{where}: not a checkpoint of vision-ft; to start from another's weights use --model.weights file:PATH"
            )
        if record.get("schema") != SCHEMA:
            raise CheckpointError(f"{where}: of schema {record.get('schema')}, this version reads {SCHEMA}")
        return cls(
            backbone=record["backbone"],
            classes=tuple(record["classes"]),
            image_size=record["image_size"],
            preprocessing=preprocessing_from(record["preprocessing"]),
            weights=WeightsOrigin.from_record(record["weights"]),
            data=checkpoint.get(DATA, {}),
            chosen=record.get("chosen") or {},
            lora=(tuple(lora["stages"]), lora["rank"]) if (lora := record.get("lora")) else None,
            resumable="optimizer_states" in checkpoint,
        )

    def facts(self) -> dict[str, Any]:
        """Fingerprint and counts of the data, without the paths of the machine it lay on."""
        return {key: value for key, value in self.data.items() if key in ("fingerprint", "photos")}


def read_checkpoint(path: Path) -> tuple[Record, dict[str, torch.Tensor]]:
    """Read a checkpoint without running any code of it.

    Returns:
        The record and the tensors, by their names in the LightningModule.

    Raises:
        CheckpointError: the file is missing, damaged or not ours.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {str(path)!r}; a run keeps its own in its folder checkpoints/")
    try:
        # PyTorch writes checksums and does not look at them: a flipped bit would become a weight.
        with zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"{broken} in it was changed")
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A file of another kind leads the unpickler anywhere.
        raise CheckpointError(f"{str(path)!r} is damaged or not a checkpoint of vision-ft: {brief(error)}") from error
    record = Record.of(content if isinstance(content, dict) else {}, repr(str(path)))
    return record, content["state_dict"]


def network_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of the network alone, by their names in it, of a checkpoint.

    Raises:
        CheckpointError: as :func:`read_checkpoint`.
    """
    return _of_network(read_checkpoint(path)[1])


def load_network(path: Path) -> tuple[Network, Record]:
    """The network of a checkpoint, adapters added up, in eval mode, and its record.

    Raises:
        CheckpointError: as :func:`read_checkpoint`.
    """
    record, state = read_checkpoint(path)
    network = _network_of(record)
    try:
        if record.lora is not None:
            network.adapt(*record.lora)
        network.load_state_dict(_of_network(state))
    except RuntimeError as error:
        raise CheckpointError(
            f"{str(path)!r}: its tensors do not fit timm's {record.backbone}; was it written with another timm?"
        ) from error
    if record.lora is not None:
        with_adapters, network = network, _network_of(record)
        network.load_state_dict(with_adapters.plain_state())
    return network.eval(), record


def _network_of(record: Record) -> Network:
    return Network(create(record.backbone, len(record.classes), record.image_size), record.preprocessing)


def _of_network(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
