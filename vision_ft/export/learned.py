"""What a bundle learns from photos after its weights are settled: temperature, thresholds, and photos by heart."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
import torch
from scipy.special import softmax

from vision_ft.export.calibrate import calibrate
from vision_ft.export.novelty import KEPT, Bank, Novelty, scale_of
from vision_ft.export.part import Floats, Labels, Material, Part, Pixels
from vision_ft.export.unsure import band
from vision_ft.model.translate import FEATURES, LOGITS
from vision_ft.spec import PIXELS, Thresholds

# Photos that what is kept is tried on, and how far it may be off, in standard deviations.
_TRIALS, _ALIKE = 4, 1e-2


@dataclass(frozen=True)
class Validation:
    """What a graph makes of the validation part.

    Attributes:
        labels: int64 (photos,).
        logits: float32 (photos, classes).
        distances: float32 (photos,), to the bank; ``None`` where there is none.
    """

    labels: Labels
    logits: Floats
    distances: Floats | None

    def probabilities(self, temperature: float) -> Floats:
        """float32 (photos, classes)."""
        return np.asarray(softmax(self.logits.astype(np.float64) / temperature, axis=1), dtype=np.float32)


@dataclass(frozen=True)
class Learned:
    """What goes into a bundle beside the network.

    Attributes:
        temperature: divides the logits.
        thresholds: for *unsure* and *neither*.
        calibration: what they rest on, for the spec.
        bank: training photos; ``None`` where there are none to be had, or none to set a threshold with.
        scale: the distance that counts as novelty 1.
        val: what the network makes of the validation part; ``None`` where there is none.
    """

    temperature: float = 1.0
    thresholds: Thresholds = field(default_factory=Thresholds)
    calibration: dict[str, Any] = field(default_factory=dict)
    bank: Bank | None = None
    scale: float = 1.0
    val: Validation | None = None

    @property
    def novelty(self) -> Novelty | None:
        """As a module; ``None`` without a bank."""
        return None if self.bank is None else Novelty(self.bank, self.scale)


def learn(core: Any, material: Material, unsure_error: float | None = None) -> Learned:
    """Show photos to a network and choose what depends on them.

    Args:
        core: an ``onnx.ModelProto`` with the outputs FEATURES and LOGITS.
        material: the photos. Without a validation part, or with none of it readable, nothing is chosen.
        unsure_error: the share of errors that is aimed at among what is answered; see :func:`band`.
    """
    runner = Runner(core)
    bank = None if material.train is None else _bank(runner, trusted(runner, material.train))
    val = None if material.val is None else validated(runner, trusted(runner, material.val), bank, kept=True)
    if val is None:
        return Learned()
    temperature, calibration = calibrate(val.logits, val.labels)
    found = band(val.probabilities(temperature), val.labels, unsure_error)
    scale = None if val.distances is None else scale_of(val.distances)
    learned = Learned(
        temperature=temperature,
        thresholds=Thresholds(found.threshold, None),
        calibration={**calibration.as_record(), "unsure": found.as_record()},
        val=val,
    )
    if bank is None or scale is None:
        return learned
    novelty = {"neighbour": bank.neighbours, "photos": len(bank.rows), "kept": KEPT, "distance": scale}
    return dataclasses.replace(
        learned,
        thresholds=Thresholds(found.threshold, 1.0),
        calibration={**learned.calibration, "novelty": novelty},
        bank=bank,
        scale=scale,
    )


class Runner:
    """A graph of features and logits, in ONNX Runtime."""

    def __init__(self, core: Any) -> None:
        """Load an ``onnx.ModelProto``."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Called from as many threads as there are cores.
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            core.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """Features (photos, features) and logits (photos, classes) of uint8 pixels (photos, height, width, 3)."""
        features, logits = self._session.run([FEATURES, LOGITS], {PIXELS: pixels})
        return features, logits


def trusted(runner: Runner, part: Part) -> Part:
    """A part with what is kept of it, or without, if that is not what the network says."""
    found = part.shown(runner, sorted(part.kept)[:_TRIALS])
    for column in range(2):
        before, now = (np.array([known[place][column] for place in found]) for known in (part.kept, found))
        if before.shape != now.shape or not len(now) or not np.abs(before - now).max() <= _ALIKE * now.std():
            return dataclasses.replace(part, kept={})
    return part


def validated(runner: Runner, val: Part, bank: Bank | None, *, kept: bool = False) -> Validation | None:
    """What a graph makes of a validation part; ``None`` where no photo of it can be read."""
    labels, found = val.run(runner, kept=kept)
    if not found:
        return None
    features, logits = found
    distances = None if bank is None else Novelty(bank)(torch.from_numpy(features)).numpy()
    return Validation(labels, logits, distances)


def _bank(runner: Runner, train: Part) -> Bank | None:
    """What training photos look like."""
    _, found = train.run(runner, kept=True)
    return Bank.of(found[0]) if found else None
