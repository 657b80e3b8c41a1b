from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import environment
from vision_ft.errors import ConfigError
from vision_ft.train.feature_store import FeatureStore, clear, default_root, key_of

WIDTH = 5
ROW = 32 + 4 + 4 * WIDTH
PLENTY = 1 << 30


def store(root: Path, about: str = "a network", most: int = PLENTY) -> FeatureStore:
    return FeatureStore(root, {"weights": about}, WIDTH, most)


def keys(count: int) -> list[bytes]:
    return [key_of(f"{number:064x}") for number in range(count)]


def features(count: int) -> dict[bytes, np.ndarray]:
    values = np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)
    return dict(zip(keys(count), values, strict=True))


def rows_of(root: Path) -> Path:
    (path,) = root.glob("vision-ft-features/*/rows.bin")
    return path


def same(found: dict[bytes, np.ndarray], wanted: dict[bytes, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(found[key], wanted[key]) for key in wanted)


def test_what_was_written_is_there_for_the_next(tmp_path: Path) -> None:
    first = store(tmp_path)
    assert first.get(keys(3)) == {}
    assert first.add(features(3))
    assert same(first.get(keys(3)), features(3))
    assert same(store(tmp_path).get(keys(9)), features(3))
    assert isinstance(store(tmp_path)._rows, np.memmap)


def test_another_network_photo_or_view_has_features_of_its_own(tmp_path: Path) -> None:
    store(tmp_path).add(features(3))
    assert store(tmp_path, "another").get(keys(3)) == {}
    assert FeatureStore(tmp_path, {"weights": "a network"}, WIDTH + 1, PLENTY).get(keys(3)) == {}
    assert store(tmp_path).get([key_of("f" * 64), key_of("0" * 64, "flipped")]) == {}


@pytest.mark.parametrize("place", [0, 31, 32, 35, 36, ROW - 1], ids=str)
def test_a_row_that_was_harmed_is_as_if_it_were_not_there(place: int, tmp_path: Path) -> None:
    store(tmp_path).add(features(3))
    data = bytearray(rows_of(tmp_path).read_bytes())
    data[ROW + place] ^= 0x10
    rows_of(tmp_path).write_bytes(bytes(data))
    wanted = features(3)
    del wanted[keys(3)[1]]
    harmed = store(tmp_path)
    assert same(harmed.get(keys(3)), wanted)
    # Computed again, it is there again.
    harmed.add({keys(3)[1]: features(3)[keys(3)[1]]})
    assert same(store(tmp_path).get(keys(3)), features(3))


@pytest.mark.parametrize("left", [0, 1, 40, ROW - 1, ROW + 7, 2 * ROW + 50])
def test_half_a_row_is_none_and_harms_no_other(left: int, tmp_path: Path) -> None:
    store(tmp_path).add(features(3))
    rows_of(tmp_path).write_bytes(rows_of(tmp_path).read_bytes()[:left])
    cut = store(tmp_path)
    assert list(cut.get(keys(3))) == keys(3)[: left // ROW]
    cut.add(features(3))
    assert same(store(tmp_path).get(keys(3)), features(3))


def test_several_write_at_once(tmp_path: Path) -> None:
    script = (
        f"import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.train.test_feature_store import store, features, keys\n"
        "whole = features(400)\n"
        f"for key in keys(400)[int(sys.argv[1])::4]: store(pathlib.Path({str(tmp_path)!r})).add({{key: whole[key]}})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(part)], env=environment()) for part in range(4)]
    assert [one.wait() for one in running] == [0] * 4
    assert same(store(tmp_path).get(keys(400)), features(400))


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old", "older")):
        one = store(tmp_path, name)
        one.add(features(10))
        os.utime(one._folder / "about.json", (1e9 - age, 1e9 - age))
    # Room for two, and the few other bytes that lie in a store.
    assert store(tmp_path, "newest", most=2 * 10 * ROW + 500).add(features(10))
    left = {name for name in ("new", "old", "older", "newest") if store(tmp_path, name).get(keys(1))}
    assert left == {"new", "newest"}


def test_more_than_there_is_room_for_is_not_written(tmp_path: Path) -> None:
    small = store(tmp_path, most=5 * ROW)
    assert small.add(features(5))
    assert not small.add({key_of("f" * 64): np.zeros(WIDTH, np.float32)})
    assert same(store(tmp_path).get(keys(5)), features(5))


def test_cleared(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features/mine.txt").write_text("mine")
    (tmp_path / "vision-ft-features/mine").mkdir(parents=True)
    store(tmp_path).add(features(3))
    clear(tmp_path)
    assert (tmp_path / "vision-ft-features/mine").is_dir()
    assert store(tmp_path).get(keys(3)) == {}
    assert (tmp_path / "features/mine.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cache\.folder"):
        store(tmp_path / "file")


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VISION_FT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "vision_ft"
    monkeypatch.setenv("VISION_FT_CACHE", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"
