from __future__ import annotations

from pathlib import Path

import polars as pl
import torch

from vision_ft.train.baselines import Baseline, write_baselines
from vision_ft.train.judging import Scored


def test_a_row_for_each_photo_that_could_be_read(tmp_path: Path) -> None:
    photos = pl.DataFrame({"path": ["a.jpg", "b.jpg", "c.jpg"], "label": ["cat", "dog", "cat"], "sha256": ["", "", ""]})
    losses = torch.tensor([0.1, torch.nan, 0.7], dtype=torch.float64)
    scored = Scored(losses, torch.tensor([1.0, torch.nan, 0.0], dtype=torch.float64))
    table = torch.tensor([[0.9, 0.1], [torch.nan, torch.nan], [0.5, 0.5]], dtype=torch.float64)
    found = {"pretrained head": Baseline(scored, table), "head alone": Baseline(scored)}
    write_baselines(tmp_path / "baselines.csv", photos, ["cat", "dog"], found)
    rows = pl.read_csv(tmp_path / "baselines.csv").to_dicts()
    assert [(row["weights"], row["path"], row["right"]) for row in rows] == [
        ("pretrained head", "a.jpg", True),
        ("pretrained head", "c.jpg", False),
        ("head alone", "a.jpg", True),
        ("head alone", "c.jpg", False),
    ]
    assert [row["probability cat"] for row in rows] == [0.9, 0.5, None, None]
    assert rows[1]["log_loss"] == 0.7
