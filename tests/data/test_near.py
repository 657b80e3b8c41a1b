from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from vision_ft.data.near import RADIUS, Hashes, groups_of, hashes_of, near_pairs, small_grey


def flipped(one: Hashes, count: int, rng: np.random.Generator) -> Hashes:
    bits = np.unpackbits(one)
    bits[rng.choice(256, count, replace=False)] ^= 1
    return np.packbits(bits)


def all_pairs(hashes: Hashes, radius: int) -> set[tuple[int, int, int]]:
    bits = np.unpackbits(hashes, axis=1).astype(int)
    found = set()
    for first in range(len(hashes)):
        for second in range(first + 1, len(hashes)):
            distance = int((bits[first] != bits[second]).sum())
            if distance <= radius:
                found.add((first, second, distance))
    return found


@given(st.integers(0, 2**32))
def test_the_same_pairs_as_by_comparing_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 256, (60, 32), dtype=np.uint8)
    for place in range(0, 60, 6):
        hashes[place + 1] = flipped(hashes[place], int(rng.integers(1, 25)), rng)
        hashes[place + 2] = flipped(hashes[place], int(rng.integers(40, 60)), rng)
    found = {(int(a), int(b), int(d)) for a, b, d in zip(*near_pairs(hashes), strict=True)}
    expected = all_pairs(hashes, RADIUS)
    assert found <= expected
    # Two that differ in as many bits as are allowed may be missed, one time in a hundred; nearer ones are not.
    assert {pair for pair in expected if pair[2] <= 24} <= found


def test_equal_ones_are_bound_to_the_first_and_not_to_each_other() -> None:
    hashes = np.random.default_rng(0).integers(0, 256, (5, 32), dtype=np.uint8)[[0, 1, 0, 0, 2]]
    first, second, distance = near_pairs(hashes)
    assert list(zip(first.tolist(), second.tolist(), distance.tolist(), strict=True)) == [(0, 2, 0), (0, 3, 0)]


def test_thousands_that_look_alike_take_no_square_of_time() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, 32, dtype=np.uint8)
    hashes = np.stack([flipped(one, 6, rng) for _ in range(5000)])
    first, second, _ = near_pairs(hashes)
    assert len(first) < 5000 * 2 * 32
    assert len(set(groups_of(5000, first, second).tolist())) == 1


def test_groups_hang_together_by_chains() -> None:
    left, right = np.array([0, 1, 4]), np.array([1, 2, 5])
    numbers = groups_of(6, left, right).tolist()
    assert numbers[0] == numbers[1] == numbers[2]
    assert numbers[4] == numbers[5]
    assert len({numbers[0], numbers[3], numbers[4]}) == 3


def test_no_photos() -> None:
    first, _, _ = near_pairs(np.empty((0, 32), np.uint8))
    assert len(first) == 0


def saved_again(photo: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


@pytest.mark.parametrize(
    "edit",
    [
        lambda photo: saved_again(photo, 20),
        lambda photo: photo.resize((photo.width // 2, photo.height // 2)),
        lambda photo: photo.resize((300, 300)),
        lambda photo: photo.convert("L").convert("RGB"),
        lambda photo: ImageEnhance.Contrast(photo).enhance(0.7),
        lambda photo: photo.crop((1, 1, photo.width - 1, photo.height - 1)),
    ],
)
def test_light_edits_leave_the_hash_near(cats_dogs: Path, edit: object) -> None:
    for path in sorted((cats_dogs / "cat").iterdir())[:40]:
        photo = Image.open(path).convert("RGB")
        greys = np.stack([small_grey(view) for view in (photo, edit(photo))])  # type: ignore[operator]
        one, other = np.unpackbits(hashes_of(greys), axis=1)
        assert (one != other).sum() <= RADIUS, path.name


def test_photos_that_differ_are_far_apart(cats_dogs: Path) -> None:
    paths = [path for name in ("cat", "dog") for path in sorted((cats_dogs / name).iterdir())[:150]]
    hashes = hashes_of(np.stack([small_grey(Image.open(path).convert("RGB")) for path in paths]))
    assert all_pairs(hashes, 60) == set()


def test_how_many_at_the_limit_are_found() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (4000, 32), dtype=np.uint8)
    hashes[2000:] = [flipped(one, RADIUS, rng) for one in hashes[:2000]]
    first, _, _ = near_pairs(hashes)
    assert len(first) > 0.985 * 2000
