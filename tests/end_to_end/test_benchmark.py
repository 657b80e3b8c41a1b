"""``vision-ft benchmark`` times what a fit is made of, with the settings of a fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Command, fails_with

SETTINGS = ["--model.backbone", "test_resnet", "--model.weights", "random:", "--model.image_size", "32",
            "--data.batch_size", "16", "--unfreeze.phases", "[{epochs: 1, stages: 2, lr: 1e-3}]",
            "--trainer.accelerator", "cpu"]  # fmt: skip
ALONE = {"decode", "preprocess", "augment"}
TOGETHER = {"extract features", "predict", "epoch of phase 1"}


def test_parts_alone_and_together(command: Command, drawings: Path, tmp_path: Path) -> None:
    args = ["benchmark", "--json", "--seconds", "0.02", "--data.root", drawings, *SETTINGS]
    done = command(*args, cwd=tmp_path)
    record = json.loads(done.stdout)
    rates = {rate["name"]: rate for rate in record["rates"]}
    assert set(rates) > ALONE | TOGETHER
    assert {"step of phase 1, whole network", "step of phase 1, below the cut", "step of phase 1, above the cut"} < set(
        rates
    )
    assert any(name.startswith("forward, PyTorch") for name in rates)
    assert any(name.startswith("forward, ONNX Runtime") for name in rates)
    for rate in rates.values():
        assert 0 < rate["lowest"] <= rate["photos_per_second"] <= rate["highest"]
    for name in TOGETHER:
        parts = {part: rates[part]["photos_per_second"] for part in rates[name]["made_of"]}
        assert parts[rates[name]["limit"]] == min(parts.values())
        share = rates[name]["photos_per_second"] / min(parts.values())
        assert rates[name]["share_of_limit"] == pytest.approx(share)
    assert record["settings"]["batch_size"] == 16
    assert record["machine"]["cores"] >= 1
    assert {"torch", "onnxruntime", "vision-ft"} <= set(record["versions"])
    # Nothing is trained, and no run is left behind.
    assert not list(tmp_path.iterdir())


def test_a_table_where_nobody_asks_for_json(command: Command, drawings: Path, tmp_path: Path) -> None:
    done = command("benchmark", "--seconds", "0.01", "--data.root", drawings, *SETTINGS, cwd=tmp_path)
    for words in ("each part alone", "put together", "epoch of phase 1", "next: vision-ft fit"):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--seconds", "0"], "--seconds"), (["--data.rot", "x"], "data.root"), (["--ckpt_path", "x.ckpt"], "x.ckpt")],
)
def test_wrong_settings_are_named(
    more: list[str], words: str, command: Command, drawings: Path, tmp_path: Path
) -> None:
    done = command("benchmark", "--data.root", drawings, *SETTINGS, *more, cwd=tmp_path, code=None)
    fails_with(done, words)
