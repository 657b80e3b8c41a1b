"""The main job on real photos: a part of them, with the shipped settings."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

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
    right = sum(row["label"] == path.parent.name for row, path in zip(rows, unseen, strict=True))
    assert len(rows) == 400
    assert right >= 0.97 * len(rows)
    # One in twenty or so is called neither, by the threshold that a bundle comes with.
    told = [row["verdict"] == path.parent.name for row, path in zip(rows, unseen, strict=True)]
    assert sum(told) >= 0.9 * len(rows)
    assert {row["verdict"] for row, right in zip(rows, told, strict=True) if not right} >= {"neither"}


@pytest.fixture(scope="module")
def exported(place: Path, command: Command) -> Path:
    command("export", "runs/photos/latest", "--out", "exported", "--engines", "onnx,int8", cwd=place)
    return place / "exported"


def test_int8_is_small_and_passes_the_gate(exported: Path) -> None:
    assert (exported / "model.int8.onnx").stat().st_size < 8e6
    record = vision_ft.load(exported, "int8").spec.engines["int8"]
    assert record["photos"] == 90


@pytest.mark.parametrize("engine", ["onnx", "int8"])
def test_what_is_no_pet_is_told_from_pets(engine: str, exported: Path, cats_dogs: Path, not_pets: Path) -> None:
    pets = [path for kind in ("cat", "dog") for path in sorted((cats_dogs / kind).iterdir())[PHOTOS : PHOTOS + 100]]
    others = sorted(path for path in not_pets.rglob("*") if path.is_file())
    found = vision_ft.load(exported, engine).predict([*pets, *others])
    novelty = [one.novelty for one in found]
    assert roc_auc_score([0] * len(pets) + [1] * len(others), novelty) >= 0.99
    neither = [one.verdict == "neither" for one in found]
    assert np.mean(neither[: len(pets)]) < 0.15
    assert np.mean(neither[len(pets) :]) > 0.85


def test_the_heat_lies_on_the_animal(exported: Path, cats_dogs: Path) -> None:
    predictor = vision_ft.load(exported)
    left = 0
    paths = sorted((cats_dogs / "cat").iterdir())[PHOTOS : PHOTOS + 10]
    for path in paths:
        beside = Image.new("RGB", (400, 200), (128, 128, 128))
        with Image.open(path) as image:
            beside.paste(image.convert("RGB").resize((200, 200)), (0, 0))
        heat = predictor.explain(beside, "cat")
        left += heat[:, : heat.shape[1] // 2].mean() > heat[:, heat.shape[1] // 2 :].mean()
    assert left >= 8
