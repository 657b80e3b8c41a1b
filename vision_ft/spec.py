"""What a bundle says of itself: ``spec.json``, the only thing the two halves of the package share.

The training half writes a :class:`ModelSpec`, the predicting half reads it; neither needs the other's libraries.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from vision_ft.errors import BundleError
from vision_ft.framing import Framing

SCHEMA = 2
# What this version reads. A bundle of schema 1 has no novelty, calibration and golden photos, and is as good without.
_READS = (1, 2)
SPEC_FILE = "spec.json"
MODEL_FILE = "model.onnx"
INT8_FILE = "model.int8.onnx"
PT2_FILE = "model.pt2"
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "README.md"
GOLDEN_FILE, THUMBNAILS_FILE = "golden.json", "golden.png"
# All that may lie in a bundle's folder; a folder with anything else in it is never replaced.
BUNDLE_FILES = frozenset(
    {SPEC_FILE, MODEL_FILE, INT8_FILE, PT2_FILE, WEIGHTS_FILE, CARD_FILE, GOLDEN_FILE, THUMBNAILS_FILE}
)

# The spec names the SHA-256 of every file of the bundle, its own included: computed with this in its place.
_BLANK_DIGEST = "0" * 64

# The names of the graph's input and outputs.
PIXELS = "pixels"
PROBABILITIES, NOVELTY, PLACES = "probabilities", "novelty", "places"


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a photo before the network's first layer; it belongs to the weights.

    Attributes:
        framing: size, resize, crop and filter, applied by :mod:`vision_ft.imaging`.
        mean: subtracted from each of red, green, blue, with pixels in [0, 1]; done inside the graph.
        std: divides what is left, per channel; done inside the graph.
    """

    framing: Framing
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Thresholds:
    """Where the model holds back. ``None`` switches a threshold off.

    Attributes:
        unsure: a largest probability below this gives the verdict *unsure*.
        neither: a novelty above this gives the verdict *neither*; at 1, as a bundle sets it, 95 % of the validation
            photos are kept.
    """

    unsure: float | None = None
    neither: float | None = None


@dataclass(frozen=True)
class Ancestor:
    """A model that training went on from, as its own spec tells of it.

    Attributes:
        sha256: of its weights.
        source: what it began from itself, as the user named it.
        classes: what it told apart.
        data: fingerprint and number of photos of each part of the data that it was trained on.
        created: date and time, ISO 8601 with offset.
    """

    sha256: str
    source: str
    classes: tuple[str, ...]
    data: dict[str, Any]
    created: str


@dataclass(frozen=True)
class WeightsOrigin:
    """Which pretrained weights training began from.

    Attributes:
        source: as the user named it, for example ``builtin:``.
        sha256: hex digest of the file that was read or, where no file is at hand, of the tensors. ``None`` for
            ``random:``, where nothing was loaded.
        digest_of: ``"file"`` or ``"tensors"``.
        licence: of the weights, as far as their source states one.
        ancestors: for ``bundle:``, the models that were gone on from, the first one first and that bundle's last.
    """

    source: str
    sha256: str | None
    digest_of: str = "file"
    licence: str | None = None
    ancestors: tuple[Ancestor, ...] = ()

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> WeightsOrigin:
        """The inverse of ``dataclasses.asdict``."""
        ancestors = (Ancestor(**{**one, "classes": tuple(one["classes"])}) for one in record.get("ancestors", ()))
        return cls(**{**record, "ancestors": tuple(ancestors)})


@dataclass(frozen=True)
class ModelSpec:
    """Everything a bundle knows of itself.

    Attributes:
        classes: names in the order of the probabilities.
        preprocessing: from photo to the network's input.
        backbone: timm's name of the architecture.
        weights: where training began.
        temperature: divides the logits before the softmax, inside the graph.
        thresholds: for *unsure* and *neither*.
        calibration: what temperature and thresholds were chosen on and what they are worth: ``ece_before``,
            ``ece_after``, ``log_loss_before``, ``log_loss_after``, ``photos``; ``unsure`` and ``novelty``, a record
            each. Empty where there were no photos to choose on.
        data: fingerprint and number of photos of each part of the data trained on.
        gate: what the exported graph was compared on, and how far it was off at most.
        engines: of each that the bundle was let through the gate with, its file and how far it was off.
        metrics: for each part of the data, figures with 95 % intervals.
        versions: of the packages that made the bundle.
        created: date and time, ISO 8601 with offset.
        files: SHA-256 of every other file in the bundle.
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    backbone: str
    weights: WeightsOrigin
    temperature: float = 1.0
    thresholds: Thresholds = field(default_factory=Thresholds)
    calibration: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of ``spec.json``, its own digest in it."""
        record = {"schema": SCHEMA, **dataclasses.asdict(self), "sha256": _BLANK_DIGEST}
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        digest = hashlib.sha256(text.encode()).hexdigest()
        return _swap_last(text, _BLANK_DIGEST, digest)

    @classmethod
    def from_json(cls, data: bytes, where: str) -> ModelSpec:
        """Read ``spec.json`` and check its own digest.

        Args:
            data: the file's bytes.
            where: named in errors.

        Raises:
            BundleError: a byte was changed, or the file is of another schema or not a spec at all.
        """
        try:
            text = data.decode()
            record = json.loads(text)
            digest, schema = str(record.pop("sha256")), record.pop("schema")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"{where}: not a bundle's spec, or damaged; export the model again") from error
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise BundleError(f"{where}: not a bundle's spec, or damaged; export the model again")
        blank = _swap_last(text, digest, _BLANK_DIGEST)
        if hashlib.sha256(blank.encode()).hexdigest() != digest:
            raise BundleError(f"{where}: was changed after it was written; export the model again")
        if schema not in _READS:
            raise BundleError(
                f"{where}: has schema {schema}, this version reads {' and '.join(map(str, _READS))}; "
                "export the model again, or install the vision-ft that wrote it"
            )
        try:
            return cls._from_record(record)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{where}: lacks something a spec must have; export the model again") from error

    @classmethod
    def _from_record(cls, record: dict[str, Any]) -> ModelSpec:
        return cls(
            **{
                **record,
                "classes": tuple(record["classes"]),
                "preprocessing": preprocessing_from(record["preprocessing"]),
                "weights": WeightsOrigin.from_record(record["weights"]),
                "thresholds": Thresholds(**record["thresholds"]),
            }
        )


def preprocessing_from(record: dict[str, Any]) -> Preprocessing:
    """The inverse of ``dataclasses.asdict`` for :class:`Preprocessing`."""
    return Preprocessing(framing=Framing(**record["framing"]), mean=tuple(record["mean"]), std=tuple(record["std"]))


def _swap_last(text: str, old: str, new: str) -> str:
    """Replace the last occurrence: the digest is the last value of the file."""
    head, found, tail = text.rpartition(old)
    return head + new + tail if found else text
