"""Each bad input gets one clear line and exit code 2, and leaves no run behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vision_ft.cli import main

FolderOf = Callable[..., Path]
CONFIG = Path(__file__).parents[2] / "configs" / "cats_dogs.yaml"


def refused(root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> str:
    runs = tmp_path / "runs"
    assert main(["fit", "--config", str(CONFIG), "--data.root", str(root), "--run.folder", str(runs)]) == 2
    assert not runs.exists()
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"": 0}, "holds no photos"),
        ({"": 4}, "without a class folder"),
        ({"cat": 4}, "single class"),
        ({"cat": 4, "dog": 0}, "no photos for class 'dog'"),
        ({"cat": 1, "dog": 1}, "leave none for validation"),
        ({"train/cat": 1, "train/dog": 1, "extra": 1}, "'extra'"),
    ],
)
def test_a_folder_that_cannot_be_used(
    counts: dict[str, int], words: str, folder_of: FolderOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_of(counts)
    root.mkdir(exist_ok=True)
    shown = refused(root, capsys, tmp_path)
    assert words in shown
    assert shown.count("\n") == 1


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = refused(tmp_path / "nothing", capsys, tmp_path)
    assert "no folder" in shown
    assert shown.count("\n") == 1


def test_a_class_without_readable_photos_is_named_with_the_list(
    folder_of: FolderOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_of({"cat": 20, "dog": 0})
    for index in range(2):
        (root / "dog" / f"{index}.jpg").write_bytes(os.urandom(50))
    shown = refused(root, capsys, tmp_path)
    assert shown.startswith("vision-ft: data.root: class 'dog' has no readable photo")
    assert "dog/0.jpg: " in shown
    assert "dog/1.jpg: " in shown
    assert "Traceback" not in shown
