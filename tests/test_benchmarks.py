"""Benchmarks that wait for a machine of their kind are run here with tiny sizes, so that they work when it comes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY, environment


def test_training_rate(drawings: Path, tmp_path: Path) -> None:
    out = tmp_path / "rates.json"
    done = subprocess.run(
        [
            sys.executable, str(REPOSITORY / "benchmarks/training_rate.py"), str(drawings), "--backbones",
            "test_resnet", "test_vit", "--size", "64", "--batch", "4", "--steps", "12", "--bare-steps", "4",
            "--workers", "1", "--accelerator", "cpu", "--json", str(out),
        ],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert [row["backbone"] for row in rows] == ["test_resnet"] * 3 + ["test_vit"] * 3
    assert [row["stages"] for row in rows[:3]] == ["1 of 6 stages", "3 of 6 stages", "6 of 6 stages"]
    for row in rows:
        # On a CPU the loader takes from the same cores, and times of milliseconds are rough.
        assert 0 < row["ratio"] < 2
        assert row["loader"] > 0
        assert f"| {row['backbone']} | {row['stages']} |" in done.stdout
