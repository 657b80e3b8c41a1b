"""The gate where the network's own rounding is at fault, and how near int8 must come."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from vision_ft.errors import ExportMismatch
from vision_ft.export.gate import Gate
from vision_ft.export.graph import Exported
from vision_ft.export.nearness import Nearness
from vision_ft.framing import Pixels
from vision_ft.imaging import read
from vision_ft.model.checkpoint import load_network
from vision_ft.runtime.engine import Answers

from .conftest import CheckpointOf


def test_a_network_that_rounds_is_asked_in_float64(checkpoint_of: CheckpointOf, drawings: Path) -> None:
    network, _ = load_network(checkpoint_of("resnet18"))
    photos = [read(path, network.preprocessing.framing) for path in sorted(drawings.rglob("*.jpg"))[:40]]
    with torch.no_grad():
        # Sure of itself, and in doubt about one photo.
        head = network.backbone.get_classifier()
        head.weight.mul_(3e4)
        head.bias.mul_(3e4)
        exported = Exported(network).eval()
        doubted = torch.from_numpy(photos[0][None].copy())
        logits = copy.deepcopy(network).double()(doubted)[0]
        head.bias[0] -= float(logits[0] - logits[1])
    exact = copy.deepcopy(exported).double()

    def engine(off: float):  # type: ignore[no-untyped-def]
        def run(pixels: Pixels) -> Answers:
            with torch.inference_mode():
                found = exact(torch.from_numpy(pixels.copy()))[0].numpy()
            return Answers(found + off)

        return run

    with torch.inference_mode():
        rounded = exported(doubted)[0] - exact(doubted)[0]
    assert rounded.abs().max() > 1e-4, "its rounding is no matter: nothing is tested"
    gate = Gate(exported, photos)
    passed = gate.compare(engine(0.0))
    assert passed.record["source_in"] == "float64"
    assert np.abs(passed.source.probabilities - engine(0.0)(gate.pixels).probabilities).max() < 1e-6
    with pytest.raises(ExportMismatch, match="in probability"):
        gate.compare(engine(2e-3))


def answers(right: int, photos: int, sure: float) -> np.ndarray:
    """Of so many photos of the first class so many are right."""
    found = np.full((photos, 2), 1 - sure)
    found[:right, 0] = sure
    found[right:, 1] = sure
    return found


def test_how_near_int8_must_come() -> None:
    labels = np.zeros(1000, np.int64)
    exact = answers(990, 1000, 0.99)
    assert Nearness.of(exact, exact, labels).fault is None
    assert Nearness.of(answers(989, 1000, 0.99), exact, labels).fault is None
    # 0.6 points worse; and better by as much, which is another model too.
    assert "0.5 points" in (Nearness.of(answers(984, 1000, 0.99), exact, labels).fault or "")
    assert "0.5 points" in (Nearness.of(answers(996, 1000, 0.99), exact, labels).fault or "")
    assert "log-loss" in (Nearness.of(answers(990, 1000, 0.95), exact, labels).fault or "")
    assert Nearness.of(np.full((1000, 2), np.nan), exact, labels).fault is not None
