"""What is kept of photos stands in for them, if it is what the network says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vision_ft.export.graph import core_of
from vision_ft.export.learned import Runner, learn, trusted
from vision_ft.export.part import Material, Part
from vision_ft.framing import Pixels
from vision_ft.imaging import read
from vision_ft.model.checkpoint import load_network

from .conftest import CheckpointOf


class Photos:
    """Counts what it is asked for; the photo at the place of ``gone`` cannot be read."""

    def __init__(self, pixels: Pixels, gone: int) -> None:
        self.pixels = pixels
        self.gone = gone
        self.read: list[int] = []

    def batches(self, places: Sequence[int]) -> Iterator[tuple[list[int], Pixels]]:
        self.read += places
        found = [place for place in places if place != self.gone]
        for start in range(0, len(found), 7):
            yield found[start : start + 7], self.pixels[found[start : start + 7]]


@pytest.fixture(scope="module")
def parts(checkpoint_of: CheckpointOf, drawings: Path) -> tuple[object, Photos, Part]:
    network, _ = load_network(checkpoint_of("resnet18"))
    paths = sorted(drawings.rglob("*.jpg"))
    pixels = np.stack([read(path, network.preprocessing.framing) for path in paths])
    photos = Photos(pixels, gone=5)
    labels = np.array([int(path.parent.name == "dog") for path in paths], np.int64)
    return core_of(network), photos, Part(labels, photos.batches)


def kept_of(core: object, part: Part, places: Sequence[int]) -> Part:
    runner = Runner(core)
    features, logits = runner(np.concatenate([pixels for _, pixels in part.batches(places)]))
    return replace(part, kept=dict(zip(places, zip(features, logits, strict=True), strict=True)))


def test_photos_that_cannot_be_read_are_left_out_in_their_place(parts: tuple[object, Photos, Part]) -> None:
    core, photos, part = parts
    labels, (features, logits) = part.run(Runner(core))
    assert len(labels) == len(features) == len(logits) == len(photos.pixels) - 1
    assert labels.tolist() == np.delete(part.labels, 5).tolist()
    wanted = Runner(core)(np.delete(photos.pixels, 5, axis=0))
    assert features == pytest.approx(wanted[0], rel=1e-3, abs=1e-4)


def test_what_is_kept_is_not_read_again_and_changes_nothing(parts: tuple[object, Photos, Part]) -> None:
    core, photos, part = parts
    places = list(range(10, 60))
    known = kept_of(core, part, places)
    photos.read.clear()
    labels, (features, _) = known.run(Runner(core), kept=True)
    assert set(photos.read) == set(range(len(part.labels))) - set(places)
    assert features == pytest.approx(part.run(Runner(core))[1][0], rel=1e-3, abs=1e-4)
    without, with_it = (learn(core, Material([], [], one, one), 0.02) for one in (part, known))
    assert with_it.temperature == without.temperature
    assert with_it.scale == pytest.approx(without.scale, rel=1e-3)
    assert (labels == part.run(Runner(core))[0]).all()


@pytest.mark.parametrize("column", [0, 1])
def test_what_another_network_said_is_not_believed(column: int, parts: tuple[object, Photos, Part]) -> None:
    core, _, part = parts
    known = kept_of(core, part, list(range(10, 60)))
    assert trusted(Runner(core), known) is known
    other = {
        place: tuple(
            values + (values.std() if place == 11 and which == column else 0) for which, values in enumerate(both)
        )
        for place, both in known.kept.items()
    }
    assert trusted(Runner(core), replace(known, kept=other)).kept == {}  # type: ignore[arg-type]
