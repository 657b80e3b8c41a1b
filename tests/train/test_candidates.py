from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import pytest
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from vision_ft.train.candidates import Candidates
from vision_ft.train.checkpoints import WholeFiles, copy_whole
from vision_ft.train.judging import Scored
from vision_ft.train.stop import Stop


def scored(*losses: float) -> Scored:
    tensor = torch.tensor(losses, dtype=torch.float64)
    return Scored(tensor, (tensor < 0.7).double())


def test_only_a_lower_loss_takes_the_place_of_the_best() -> None:
    candidates = Candidates()
    candidates.baseline = "head alone"
    offers = {"head alone": 0.5, "epoch 1": 0.5, "epoch 2": float("inf"), "epoch 3": 0.4, "average": 0.45}
    assert [candidates.offer(name, scored(loss, loss)) for name, loss in offers.items()] == [
        True, False, False, True, False,
    ]  # fmt: skip
    assert candidates.best == "epoch 3"
    again = Candidates()
    again.load_state_dict(candidates.state_dict())
    assert again.verdict() == candidates.verdict()
    assert "handed over: epoch 3: val loss 0.4000" in again.verdict()


def test_the_verdict_says_whether_the_difference_is_clear(tmp_path: Path) -> None:
    before = [0.1, 0.9, 0.3, 0.8, 0.2, 0.6]
    for better, words in (
        ([0.05, 0.85, 0.25, 0.75, 0.15, 0.55], "0.0500)"),
        ([0.6, 0.1, 0.2, 0.9, 0.1, 0.5], "no clear"),
    ):
        candidates = Candidates()
        candidates.baseline = "head alone"
        candidates.offer("head alone", scored(*before))
        assert "nothing that was unfrozen" not in candidates.verdict()
        assert candidates.offer("epoch 1", scored(*better))
        assert words in candidates.verdict()
    candidates.offer("epoch 2", scored(*[1.0] * 6))
    candidates.write(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["handed_over"] for row in rows] == ["False", "True", "False"]
    assert float(rows[2]["below_baseline"]) == pytest.approx(sum(before) / 6 - 1)


def test_the_head_alone_may_be_the_best() -> None:
    candidates = Candidates()
    candidates.baseline = "head alone"
    candidates.offer("head alone", scored(0.1))
    candidates.offer("epoch 1", scored(0.2))
    assert candidates.verdict().endswith("; nothing that was unfrozen did better")


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"a": torch.ones(3)}, path)
    before = path.read_bytes()
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        WholeFiles().save_checkpoint({"a": torch.ones(3), "b": lambda: None}, path)
    with pytest.raises(FileNotFoundError):
        copy_whole(tmp_path / "nothing", path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, SIGTERMException), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_waits_for_the_step_and_a_second_one_does_not(number: int, kind: type[BaseException]) -> None:
    stop = Stop()
    before = signal.getsignal(number)
    with stop.listening():
        stop.waits = True
        os.kill(os.getpid(), number)
        assert stop.asked
        with pytest.raises(kind):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before
    with pytest.raises(kind):
        stop.end()


def test_a_signal_where_nothing_is_to_be_saved_is_answered_at_once() -> None:
    with Stop().listening(), pytest.raises(SIGTERMException):
        os.kill(os.getpid(), signal.SIGTERM)
