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

aten = torch.ops.aten
# What a GPU can answer only when everything before it is done: numbers, and shapes that hang on values.
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten._unique2.default,
}


class Listen(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        by_mask = func is aten.index.Tensor and any(one is not None and one.dtype == torch.bool for one in args[1])
        if func in WAITS or by_mask:
            stack = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_stack()[:-1]]
            # Numbers drawn on the CPU, whatever the device is.
            if not any("/mixing.py" in place for place in stack):
                self.heard.append(f"{func} by {' < '.join(stack[-4:])}")
        return func(*args, **(kwargs or {}))


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

    def on_train_batch_end(self, *_: Any) -> None:
        if not self._begins:
            self.mode.__exit__(None, None, None)


class Heard(VisionCLI):
    def _fit_settings(self, settings: Any, callbacks: list[pl.Callback]) -> dict[str, Any]:
        changed = super()._fit_settings(settings, callbacks)
        callbacks.insert(0, Listening(True))
        callbacks.append(Listening(False))
        return changed


@pytest.mark.parametrize(
    "more", [[], ["--model.mixup", "0.2", "--model.label_smoothing", "0.1"]], ids=["plain", "mixed and smoothed"]
)
def test_no_step_waits(more: list[str], drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Listening.mode = Listen()
    Heard(
        [
            "fit", "--data.root", str(drawings), "--model.image_size", "32", "--data.batch_size", "8",
            "--data.num_workers", "0", "--unfreeze.phases", "[{epochs: 1, stages: 2, lr: 0.001}]",
            "--unfreeze.fit_head", "false", "--trainer.accelerator", "cpu", *more,
        ]
    )  # fmt: skip
    forget_run()
    assert Listening.mode.operations > 1000
    assert not Listening.mode.heard, "\n".join(dict.fromkeys(Listening.mode.heard))
