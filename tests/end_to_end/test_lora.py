"""Low-rank adapters as a phase: trained, stopped, resumed, scored and exported like everything else."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import safetensors.torch
import torch

import vision_ft
from tests.conftest import Command, fails_with
from tests.end_to_end.test_resume import content
from vision_ft.model.backbone import create
from vision_ft.model.checkpoint import load_network, read_checkpoint
from vision_ft.model.lora import is_adapter

PHASES = (
    "[{epochs: 2, stages: 4, lr: 0.003, lora: 4}, {epochs: 1, stages: 2, lr: 0.0001}, "
    "{epochs: 1, stages: all, lr: 0.001, lora: 4}]"
)
BACKBONE = "vit_tiny_patch16_224"


def fit(drawings: Path, name: str, *more: str) -> list[str]:
    return [
        "fit", "--data.root", str(drawings), "--run.name", name, "--model.backbone", BACKBONE, "--model.weights",
        "random:", "--model.image_size", "32", "--data.batch_size", "12", "--data.num_workers", "0",
        "--unfreeze.phases", PHASES, "--unfreeze.fit_head", "false", "--trainer.accelerator", "cpu", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(place: Path, drawings: Path, command: Command) -> Path:
    done = command(*fit(drawings, "whole"), cwd=place)
    assert "epochs 1 to 2: head, blocks.11, blocks.10, blocks.9 by adapters of rank 4 at 0.003" in done.stderr
    return place / "runs/whole/latest"


def test_the_bundle_cannot_tell(whole: Path, drawings: Path) -> None:
    tensors = safetensors.torch.load_file(whole / "bundle/weights.safetensors")
    assert tensors.keys() == create(BACKBONE, 2, 32).state_dict().keys()
    names = {one.name for one in onnx.load(whole / "bundle/model.onnx").graph.initializer}
    assert not any("lora" in name for name in names)
    assert "lora" not in (whole / "bundle/spec.json").read_text()
    (found,) = vision_ft.load(whole / "bundle").predict([drawings / "cat/cat.0.jpg"])
    assert found.verdict in ("cat", "dog")


def test_what_resumes_has_adapters_and_what_is_used_has_none(whole: Path) -> None:
    last, best = (read_checkpoint(whole / f"checkpoints/{name}.ckpt") for name in ("last", "best"))
    assert any(is_adapter(name) for name in last[1])
    assert last[0].lora is not None
    assert not any(is_adapter(name) for name in best[1])
    assert best[0].lora is None
    network, _ = load_network(whole / "checkpoints/last.ckpt")
    assert network.state_dict().keys() == load_network(whole / "checkpoints/best.ckpt")[0].state_dict().keys()


def test_a_run_that_was_killed_goes_on_bit_for_bit(whole: Path, place: Path, drawings: Path, command: Command) -> None:
    kill = [{"class_path": "tests.killing.KillAt", "init_args": {"epoch": 1, "batch": 2, "place": "after the step"}}]
    more = ["--run.save_every_steps", "2"]
    command(*fit(drawings, "part", *more, "--trainer.callbacks", json.dumps(kill)), cwd=place, code=-9)
    last = place / "runs/part/latest/checkpoints/last.ckpt"
    command(*fit(drawings, "part", *more, "--ckpt_path", str(last)), cwd=place)
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (content(run / "checkpoints" / name) for run in (place / "runs/part/latest", whole))
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == [], name


def test_a_checkpoint_with_adapters_is_scored_and_exported(
    whole: Path, place: Path, drawings: Path, command: Command
) -> None:
    last = str(whole / "checkpoints/last.ckpt")
    done = command("test", "--config", whole / "config.yaml", "--ckpt_path", last, cwd=place)
    assert "test/accuracy" in done.stdout + done.stderr
    command("export", last, "--out", "of_last", cwd=place)
    assert vision_ft.load(place / "of_last").spec.backbone == BACKBONE


def test_other_adapters_than_the_checkpoints_are_refused(
    whole: Path, place: Path, drawings: Path, command: Command
) -> None:
    other = ["--unfreeze.phases", PHASES.replace("lora: 4", "lora: 2")]
    args = fit(drawings, "other", *other, "--ckpt_path", str(whole / "checkpoints/last.ckpt"))
    fails_with(command(*args, cwd=place, code=None), "lora", "use the settings of its run")
