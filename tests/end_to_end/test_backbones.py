"""The families of backbones that docs/backbones.md names: fitted, exported and predicted with, at small size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vision_ft
from tests.conftest import REPOSITORY
from vision_ft.model.backbone import stage_names

# What each can be tried with: height and width of the input in pixels.
SIZES = {
    "resnet18": 32,
    "resnetv2_50": 32,
    "regnetx_002": 32,
    "efficientnet_b0": 32,
    "mobilenetv3_small_050": 32,
    "mobilenetv4_conv_small_035": 32,
    "convnext_atto": 32,
    "vit_tiny_patch16_224": 32,
    "vit_small_patch14_dinov2": 28,
    "vit_small_patch16_dinov3": 32,
    "swin_tiny_patch4_window7_224": 56,
    "eva02_tiny_patch14_224": 28,
    "mobilevit_xxs": 64,
    "coatnet_pico_rw_224": 64,
    "inception_v3": 75,
}
DOCS = REPOSITORY / "docs/backbones.md"


def documented() -> dict[str, tuple[str, ...]]:
    """Name and stages of each row of the table."""
    rows = re.findall(r"^\| [^|]+ \| `([\w.]+)` \| (.+?) \|", DOCS.read_text(), re.MULTILINE)
    return {name: tuple(re.findall("`([^`]+)`", stages)) for name, stages in rows}


def test_the_table_is_true() -> None:
    table = documented()
    assert table.keys() == SIZES.keys()
    for name, stages in table.items():
        ours = stage_names(name)
        # Long rows of blocks are cut with an ellipsis.
        assert ours[: len(stages) - 2] == stages[:-2]
        assert ours[-2:] == stages[-2:]


@pytest.mark.parametrize("name", SIZES)
def test_fit_export_predict(
    name: str,
    drawings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from vision_ft.cli import main

    monkeypatch.chdir(tmp_path)
    first = "body" if name == "inception_v3" else stage_names(name)[-2]
    phases = f"[{{epochs: 1, stages: [{first}, head], lr: 1.0e-4}}, {{epochs: 1, stages: all, lr: 1.0e-4}}]"
    code = main([
        "fit", "--data.root", str(drawings), "--model.backbone", name, "--model.weights", "random:", "--run.name", "x",
        "--model.image_size", str(SIZES[name]), "--data.batch_size", "16", "--data.num_workers", "0",
        "--data.augment", "none", "--unfreeze.phases", phases, "--trainer.accelerator", "cpu",
    ])  # fmt: skip
    said = capsys.readouterr().err
    assert code == 0, said
    assert ("cannot be split into stages; it trains as 'head' or 'body'" in caplog.text) == (name == "inception_v3")
    model = vision_ft.load("runs/x/latest/bundle")
    assert model.spec.backbone == name
    found = model.predict([drawings / "cat/cat.0.jpg", drawings / "dog/dog.0.jpg"])
    assert all(one.error is None and one.verdict in ("cat", "dog") for one in found)
