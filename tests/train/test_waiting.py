"""A step must not wait for the device: what asks for a number holds up all that was asked before it.

Seen without a GPU, as the same operations are asked for on a CPU.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vision_ft.train.cli import VisionCLI
from vision_ft.train.run import forget_run

PHASES = "[{epochs: 1, stages: 1, lr: 0.001}, {epochs: 1, stages: 3, lr: 0.001}]"
aten = torch.ops.aten
# What a GPU can answer only when everything before it is done: numbers, and shapes that hang on values.
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}
# What brings values to the CPU, which here they are on already.
CARRIES = ("cpu", "tolist", "numpy")


class Listen(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self.operations = 0
        self.begun = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        indexes = func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)
        by_mask = indexes and any(one is not None and one.dtype == torch.bool for one in args[1])
        if func in WAITS or by_mask:
            self.hear(str(func))
        return func(*args, **(kwargs or {}))

    def hear(self, what: str) -> None:
        if self.begun:
            stack = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_stack()[:-2]]
            # Numbers drawn on the CPU, whatever the device is.
            if not any("/mixing.py" in place for place in stack):
                self.heard.append(f"{what} by {' < '.join(stack[-4:])}")


class Listening(pl.Callback):
    """Listens from the begin of each step to its end; made twice, it is in front of the other callbacks and behind."""

    mode = Listen()

    def __init__(self, begins: bool) -> None:
        self._begins = begins

    @property
    def state_key(self) -> str:
        return f"listening {self._begins}"

    def on_train_batch_start(self, *_: Any) -> None:
        if self._begins:
            self.mode.__enter__()
            self.mode.begun = True

    def on_train_batch_end(self, *_: Any) -> None:
        if not self._begins:
            self.mode.begun = False
            self.mode.__exit__(None, None, None)


class Heard(VisionCLI):
    def _fit_settings(self, settings: Any, callbacks: list[pl.Callback]) -> dict[str, Any]:
        changed = super()._fit_settings(settings, callbacks)
        callbacks.insert(0, Listening(True))
        callbacks.append(Listening(False))
        return changed


def carried(name: str) -> Any:
    real = getattr(torch.Tensor, name)

    def method(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        Listening.mode.hear(name)
        return real(tensor, *args, **kwargs)

    return method


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--model.mixup", "0.2", "--model.label_smoothing", "0.1"],
        ["--model.cutmix", "1", "--trainer.gradient_clip_val", "1"],
        ["--trainer.precision", "bf16-mixed", "--trainer.accumulate_grad_batches", "2"],
    ],
    ids=["plain", "mixed and smoothed", "cut and clipped", "bfloat16 and accumulated"],
)
def test_no_step_waits(more: list[str], drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Listening.mode = Listen()
    for name in CARRIES:
        monkeypatch.setattr(torch.Tensor, name, carried(name))
    Heard(
        [
            "fit", "--data.root", str(drawings), "--model.image_size", "32", "--data.batch_size", "8",
            "--data.num_workers", "0", "--unfreeze.phases", PHASES,
            "--unfreeze.fit_head", "false", "--trainer.accelerator", "cpu", *more,
        ]
    )  # fmt: skip
    forget_run()
    assert Listening.mode.operations > 1000
    assert not Listening.mode.heard, "\n".join(dict.fromkeys(Listening.mode.heard))


def test_a_run_that_goes_on_has_the_step_of_its_own_kind(
    drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint brings its optimizer's settings along, which may be of another precision or an older version."""
    monkeypatch.chdir(tmp_path)
    args = [
        "fit", "--data.root", str(drawings), "--run.name", "run", "--model.image_size", "32", "--data.batch_size", "8",
        "--data.num_workers", "0", "--unfreeze.phases", PHASES, "--unfreeze.fit_head", "false", "--trainer.accelerator",
        "cpu",
    ]  # fmt: skip
    VisionCLI([*args, "--trainer.max_epochs", "1"])
    forget_run()
    last = Path("runs/run/latest/checkpoints/last.ckpt").resolve()
    checkpoint = torch.load(last, weights_only=False)
    for group in checkpoint["optimizer_states"][0]["param_groups"]:
        assert group["fused"]
        group["fused"] = None
    torch.save(checkpoint, last)
    VisionCLI([*args, "--ckpt_path", str(last)])
    forget_run()
    after = torch.load(Path("runs/run/latest/checkpoints/last.ckpt").resolve(), weights_only=False)
    assert all(group["fused"] for group in after["optimizer_states"][0]["param_groups"])
    assert after["epoch"] > checkpoint["epoch"]
