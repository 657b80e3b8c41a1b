"""Compiled training: the same weights, and compiled in every phase."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.conftest import Command, fails_with
from vision_ft.model.checkpoint import read_checkpoint
from vision_ft.train.cli import VisionCLI
from vision_ft.train.run import forget_run

pytestmark = pytest.mark.filterwarnings("ignore")  # whatever PyTorch's compilers warn of


def fit(drawings: Path, name: str, phases: str, *more: str) -> list[str]:
    """In float64, so that the order of sums is of next to no account."""
    return [
        "fit", "--data.root", str(drawings), "--run.name", name, "--model.backbone", "test_resnet", "--model.weights",
        "random:", "--model.image_size", "32", "--data.batch_size", "16", "--data.num_workers", "0",
        "--unfreeze.phases", phases, "--trainer.accelerator", "cpu", "--trainer.precision", "64-true", *more,
    ]  # fmt: skip


def weights(name: str) -> dict[str, torch.Tensor]:
    return read_checkpoint(Path(f"runs/{name}/latest/checkpoints/last.ckpt"))[1]


def test_compiled_or_not_the_weights_are_the_same(
    drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # As if there were many more phases: what each takes must fit, and not what all of them take.
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 4)
    phases = "[" + ", ".join(f"{{epochs: 1, stages: {stages}, lr: 0.001}}" for stages in (1, 3, 6)) + "]"
    VisionCLI(fit(drawings, "plain", phases))
    forget_run()
    assert not counters["frames"]
    VisionCLI(fit(drawings, "compiled", phases, "--model.compile", "true"))
    forget_run()
    # To train and to validate, in three phases; nothing was given up on, nor cut in pieces.
    assert counters["frames"]["ok"] == counters["frames"]["total"] >= 6
    assert not counters["graph_break"]
    assert not counters["unimplemented"]
    plain, compiled = weights("plain"), weights("compiled")
    assert plain.keys() == compiled.keys()
    assert max(float((plain[name].double() - compiled[name].double()).abs().max()) for name in plain) < 1e-7
    assert any(not torch.equal(plain[name], compiled[name]) for name in plain)


def test_without_a_compiler_it_says_so(
    drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setenv("CXX", "/nowhere/g++")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    args = fit(drawings, "none", "[{epochs: 1, stages: 1, lr: 0.003}]", "--model.compile", "true")
    fails_with(command(*args, cwd=tmp_path, code=None), "model.compile", "cannot compile here", "leave it out")
