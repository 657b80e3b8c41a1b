"""The main job on real photos: a part of them, with the shipped settings."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import vision_ft
from tests.conftest import REPOSITORY, Command, lines

PHOTOS = 300


@pytest.fixture(scope="module")
def place(place: Path, cats_dogs: Path, command: Command) -> Path:
    for kind in ("cat", "dog"):
        (place / "photos" / kind).mkdir(parents=True)
        for path in sorted((cats_dogs / kind).iterdir())[:PHOTOS]:
            (place / "photos" / kind / path.name).symlink_to(path.resolve())
    command("fit", "--config", REPOSITORY / "configs" / "cats_dogs.yaml", "--data.root", "photos", cwd=place)
    return place


def test_cats_are_told_from_dogs(place: Path) -> None:
    spec = vision_ft.load(place / "runs/photos/latest/bundle").spec
    assert spec.metrics["val"]["photos"] == spec.metrics["test"]["photos"] == 90
    assert spec.metrics["test"]["accuracy"] >= 0.96
    assert spec.metrics["test"]["log_loss"] < 0.15


def test_imagenet_knows_cats_and_dogs_before_any_label_is_read(place: Path) -> None:
    with (place / "runs/photos/latest/candidates.csv").open() as file:
        rows = {row["weights"]: row for row in csv.DictReader(file)}
    assert float(rows["pretrained head"]["accuracy"]) > 0.9
    assert float(rows["head alone"]["log_loss"]) < float(rows["pretrained head"]["log_loss"])
    assert min(float(row["log_loss"]) for row in rows.values()) <= float(rows["head alone"]["log_loss"])


def test_photos_it_has_never_seen_are_told_too(place: Path, cats_dogs: Path, command: Command) -> None:
    unseen = [path for kind in ("cat", "dog") for path in sorted((cats_dogs / kind).iterdir())[PHOTOS : PHOTOS + 200]]
    listed = "\n".join(map(str, unseen))
    done = command("predict", "runs/photos/latest/bundle", "-", cwd=place, stdin=listed)
    rows = [json.loads(line) for line in lines(done)]
    right = sum(row["verdict"] == path.parent.name for row, path in zip(rows, unseen, strict=True))
    assert len(rows) == 400
    assert right >= 0.97 * len(rows)
