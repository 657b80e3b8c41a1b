from __future__ import annotations

import pytest
import torch

from vision_ft.train.memory import is_out_of_memory, rescale_batches, smaller


@pytest.mark.parametrize(
    ("batch", "accumulate", "then"),
    [(32, 1, (16, 2)), (16, 2, (8, 4)), (33, 1, (11, 3)), (7, 1, (1, 7)), (12, 5, (6, 10)), (1, 8, None)],
)
def test_a_step_sees_as_many_photos_as_before(batch: int, accumulate: int, then: tuple[int, int] | None) -> None:
    assert smaller(batch, accumulate) == then
    assert then is None or then[0] * then[1] == batch * accumulate


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("CUDNN_STATUS_ALLOC_FAILED; CUDA out of memory"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_says_that_memory_is_short(error: Exception, is_it: bool) -> None:
    assert is_out_of_memory(error) == is_it


def loops(started: int, processed_epochs: int, batches: int) -> dict[str, dict[str, object]]:
    return {
        "epoch_progress": {"current": {"started": started, "processed": processed_epochs}},
        "epoch_loop.batch_progress": {
            "current": {"ready": batches, "started": batches, "processed": batches, "completed": max(0, batches - 1)},
            "is_last_batch": False,
        },
    }


@pytest.mark.parametrize(
    ("state", "before", "now", "fine", "batches"),
    [
        (loops(2, 1, 3), 12, 4, True, 9),
        (loops(2, 1, 3), 12, 5, False, 3),
        (loops(2, 1, 3), 4, 12, False, 3),
        (loops(2, 2, 5), 12, 5, True, 5),
        (loops(2, 1, 0), 12, 5, True, 0),
    ],
    ids=["within", "no whole batches", "larger ones", "between epochs", "before the first"],
)
def test_batches_of_another_size(
    state: dict[str, dict[str, dict[str, int]]], before: int, now: int, fine: bool, batches: int
) -> None:
    assert rescale_batches(state, before, now) == fine
    progress = state["epoch_loop.batch_progress"]["current"]
    assert progress == dict.fromkeys(progress, batches) | {"completed": max(0, batches - 1)}
