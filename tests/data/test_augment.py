from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vision_ft.data.augment import Augmentation
from vision_ft.data.presets import DEFAULT, PRESETS, transforms_of
from vision_ft.errors import ConfigError
from vision_ft.framing import Framing, resize

FRAMING = Framing(height=48, width=32, crop=0.875, interpolation="bicubic")


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))


def test_a_view_hangs_on_its_seed_alone() -> None:
    augmentation = Augmentation(PRESETS[DEFAULT], FRAMING)
    first = augmentation(photo(), (1, 2, 3))
    for other in range(5):
        augmentation(photo(), (9, 9, other))
    assert np.array_equal(augmentation(photo(), (1, 2, 3)), first)
    assert np.array_equal(Augmentation(PRESETS[DEFAULT], FRAMING)(photo(), (1, 2, 3)), first)
    assert first.shape == (48, 32, 3)
    assert first.dtype == np.uint8


@pytest.mark.parametrize("other", [(2, 2, 3), (1, 3, 3), (1, 2, 4)], ids=["seed", "epoch", "photo"])
def test_another_seed_epoch_or_photo_gives_another_view(other: tuple[int, int, int]) -> None:
    augmentation = Augmentation(PRESETS[DEFAULT], FRAMING)
    assert not np.array_equal(augmentation(photo(), (1, 2, 3)), augmentation(photo(), other))


def test_transforms_are_drawn_apart_from_each_other() -> None:
    """Albumentations 2.0.8 gives all transforms of a list one seed: a flip and a blur then always come together."""
    marks = [
        {"transform": "HorizontalFlip", "p": 0.5},
        {"transform": "VerticalFlip", "p": 0.5},
    ]
    augmentation = Augmentation(marks, FRAMING)
    corner = Image.new("RGB", (32, 48))
    corner.paste((255, 255, 255), (0, 0, 16, 24))
    seen = set()
    for epoch in range(60):
        view = augmentation(corner, (0, epoch, 0))
        seen.add((bool(view[:, :8].max() > 128), bool(view[:12].max() > 128)))
    assert len(seen) == 4


def test_without_a_crop_photos_are_framed_as_in_validation() -> None:
    assert np.array_equal(Augmentation([], FRAMING)(photo(), (0, 0, 0)), resize(photo(), FRAMING))


def test_a_crop_of_everything_is_resampled_as_in_validation() -> None:
    square = Framing(height=40, width=40, crop=1.0, interpolation="bicubic")
    image = photo().crop((0, 0, 90, 90))
    whole = [{"transform": "RandomResizedCrop", "scale": [1.0, 1.0], "ratio": [1.0, 1.0]}]
    assert np.array_equal(Augmentation(whole, square)(image, (0, 0, 0)), resize(image, square))


@pytest.mark.parametrize(
    ("transforms", "words"),
    [
        ([{"transform": "HorizontalFilp"}], "did you mean 'HorizontalFlip'?"),
        ([{"name": "HorizontalFlip"}], "lacks the key 'transform'"),
        ([{"transform": "HorizontalFlip", "q": 1}], "'q'"),
        ([{"transform": "HorizontalFlip"}, {"transform": "RandomResizedCrop"}], "must come first"),
        ([{"transform": "RandomResizedCrop", "size": [1, 1]}], "model.image_size"),
        ([{"transform": "RandomResizedCrop", "scale": [2.0, 3.0]}], "scale"),
        ([{"transform": "Compose", "transforms": []}], "no transform 'Compose'"),
    ],
)
def test_a_wrong_transform_is_named(transforms: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Augmentation(transforms, FRAMING)
    assert words in str(caught.value)
    assert "data.augment[" in str(caught.value)


def test_all_wrong_transforms_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Augmentation([{"transform": "A1"}, {"transform": "HorizontalFlip"}, {"transform": "A3"}], FRAMING)
    assert "data.augment[0]" in str(caught.value)
    assert "data.augment[2]" in str(caught.value)


@pytest.mark.parametrize(
    "transform", [{"transform": "CenterCrop", "height": 8, "width": 8}, {"transform": "Normalize"}]
)
def test_a_transform_that_changes_size_or_type_is_refused(transform: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="change size or type"):
        Augmentation([transform], FRAMING)


def test_albumentations_asks_no_package_index() -> None:
    code = (
        "import os, socket\n"
        "os.environ.pop('NO_ALBUMENTATIONS_UPDATE', None)\n"
        "def refuse(*_): raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "import vision_ft.data.augment\n"
        "print(os.environ['NO_ALBUMENTATIONS_UPDATE'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_the_same_view_for_the_same_seed_and_another_for_another(name: str) -> None:
    augmentation = Augmentation(transforms_of(name), FRAMING)
    first, again, other = (augmentation(photo(), (seed,)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (name == "none")


def test_the_stronger_a_preset_the_further_its_views_are_from_the_photo() -> None:
    plain = Augmentation((), FRAMING)(photo(), (0,)).astype(float)
    distance = {
        name: np.mean(
            [np.abs(Augmentation(transforms, FRAMING)(photo(), (seed,)) - plain).mean() for seed in range(40)]
        )
        for name, transforms in PRESETS.items()
    }
    assert list(distance) == sorted(distance, key=distance.__getitem__)


def test_presets_by_name_and_by_default() -> None:
    assert transforms_of(None) == PRESETS["medium"]
    assert transforms_of([{"transform": "HorizontalFlip"}]) == [{"transform": "HorizontalFlip"}]
    with pytest.raises(ConfigError, match=r"no preset 'stong' \(did you mean 'strong'\?\); there are none, light"):
        transforms_of("stong")


@pytest.mark.parametrize("size", [(64, 64), (3, 2000), (1, 1), (2000, 3)], ids=str)
@pytest.mark.parametrize("ratio", [[0.005, 0.005], [10, 100]], ids=str)
def test_a_box_has_something_in_it(size: tuple[int, int], ratio: list[float]) -> None:
    augmentation = Augmentation([{"transform": "RandomResizedCrop", "scale": [0.01, 0.1], "ratio": ratio}], FRAMING)
    for epoch in range(20):
        left, top, right, bottom = augmentation.box(*size, (0, epoch, 0))
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


def test_a_crop_that_may_not_happen_is_refused() -> None:
    with pytest.raises(ConfigError, match="p must be 1"):
        Augmentation([{"transform": "RandomResizedCrop", "p": 0.5}], FRAMING)
