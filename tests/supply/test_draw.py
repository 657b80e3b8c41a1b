from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision_ft.cli import main
from vision_ft.errors import DataError
from vision_ft.supply.draw import draw_set


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


def test_the_same_seed_draws_the_same_and_more_begins_with_less(tmp_path: Path) -> None:
    draw_set(tmp_path / "a", count=3, size=48)
    draw_set(tmp_path / "b", count=4, size=48)
    draw_set(tmp_path / "c", count=3, size=48, seed=1)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert sorted(a) == [f"{kind}/{kind}.{index}.jpg" for kind in ("cat", "dog") for index in range(3)]
    assert a.items() <= b.items()
    assert all(a[name] != c[name] for name in a)


def test_drawings_differ_from_each_other(tmp_path: Path) -> None:
    draw_set(tmp_path / "a", count=20, size=48)
    pixels = [np.asarray(Image.open(path), dtype=float) for path in sorted((tmp_path / "a").rglob("*.jpg"))]
    assert all(image.shape == (48, 48, 3) for image in pixels)
    means = np.array([image.mean() for image in pixels])
    assert means.std() > 15, "light and colour hardly vary"


def test_nothing_of_the_users_is_drawn_over(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_text("mine")
    with pytest.raises(DataError, match="nothing was drawn"):
        draw_set(tmp_path / "mine", count=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_interrupted_drawing_leaves_no_half_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vision_ft.supply.draw.draw_face", interrupt)
    with pytest.raises(KeyboardInterrupt):
        draw_set(tmp_path / "new", count=1)
    assert list(tmp_path.iterdir()) == []


def test_the_verb_prints_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my pets"
    assert main(["data", "draw", str(folder), "--count", "2", "--size", "32"]) == 0
    assert f"--data.root '{folder}'" in capsys.readouterr().out
    assert main(["data", "draw", str(folder)]) == 2
    assert main(["data", "draw", str(tmp_path / "x"), "--count", "0"]) == 2
