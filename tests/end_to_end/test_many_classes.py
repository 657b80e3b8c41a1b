"""Thirty-seven classes, named and laid out as Oxford-IIIT Pet's breeds are, with drawn stand-ins for the photos."""

from __future__ import annotations

import colorsys
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import vision_ft
from tests.conftest import Command

BREEDS = [
    "Abyssinian", "american_bulldog", "american_pit_bull_terrier", "basset_hound", "beagle", "Bengal", "Birman",
    "Bombay", "boxer", "British_Shorthair", "chihuahua", "Egyptian_Mau", "english_cocker_spaniel",
    "english_setter", "german_shorthaired", "great_pyrenees", "havanese", "japanese_chin", "keeshond",
    "leonberger", "Maine_Coon", "miniature_pinscher", "newfoundland", "Persian", "pomeranian", "pug", "Ragdoll",
    "Russian_Blue", "saint_bernard", "samoyed", "scottish_terrier", "shiba_inu", "Siamese", "Sphynx",
    "staffordshire_bull_terrier", "wheaten_terrier", "yorkshire_terrier",
]  # fmt: skip
PHOTOS = 12


def draw(number: int, photo: int) -> Image.Image:
    """A hue and a shape say the class; place, size and ground differ from photo to photo."""
    rng = np.random.default_rng(1000 * number + photo)
    ground = tuple(rng.integers(90, 170, 3).tolist())
    image = Image.new("RGB", (72, 64), ground)
    pen = ImageDraw.Draw(image)
    hue = (number % 13) / 13
    colour = tuple(int(255 * one) for one in colorsys.hsv_to_rgb(hue, 0.9, 0.9))
    x, y, r = rng.integers(26, 46), rng.integers(26, 38), rng.integers(16, 24)
    box = (x - r, y - r, x + r, y + r)
    if number // 13 == 0:
        pen.ellipse(box, fill=colour)
    elif number // 13 == 1:
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=colour)
    return image


@pytest.fixture(scope="module")
def place(place: Path) -> Path:
    (place / "images").mkdir()
    for number, breed in enumerate(BREEDS):
        for photo in range(PHOTOS):
            draw(number, photo).save(place / f"images/{breed}_{photo}.jpg", quality=92)
    return place


def test_they_train_export_and_predict(place: Path, command: Command) -> None:
    assert len(BREEDS) == 37
    done = command(
        "fit", "--data.root", "images", "--data.layout", "oxford-breeds", "--run.name", "breeds", "--data.num_workers",
        "0", "--model.image_size", "64", "--model.label_smoothing", "0.1", "--model.cutmix", "1.0",
        "--unfreeze.phases", "[{epochs: 1, stages: 2, lr: 0.0005}]", "--trainer.accelerator", "cpu", cwd=place,
    )  # fmt: skip
    assert f"{37 * PHOTOS} photos of 37 classes" in done.stderr
    spec = vision_ft.load(place / "runs/breeds/latest/bundle").spec
    assert sorted(spec.classes) == sorted(breed.replace("_", " ") for breed in BREEDS) or sorted(
        spec.classes
    ) == sorted(BREEDS)
    # One in thirty-seven would be right by chance.
    assert spec.metrics["test"]["accuracy"] > 0.3
    predicted = command("predict", "runs/breeds/latest/bundle", "images/pug_0.jpg", cwd=place)
    (line,) = [json.loads(line) for line in predicted.stdout.splitlines()]
    assert line["probabilities"].keys() == set(spec.classes)
    assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-3)
