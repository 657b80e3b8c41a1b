"""What to do where a batch does not fit into memory: smaller ones, of which several make a step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from vision_ft.errors import ConfigError

# How PyTorch puts it where it has no error of its own for it.
_WORDS = ("can't allocate memory", "out of memory")


class BatchTooLarge(Exception):  # noqa: N818 - not an error of the user's, but a way to go on
    """A batch did not fit into memory, and a smaller one may.

    Attributes:
        batch_size: photos a batch from here on.
        accumulate: how many of them make a step of the optimizer.
        checkpoint: to go on from, if the run had come to write one.
    """

    def __init__(self, batch_size: int, accumulate: int, checkpoint: Path | None) -> None:
        """Say how to go on."""
        super().__init__(f"a batch does not fit into memory; {batch_size} photos may")
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.checkpoint = checkpoint

    def arguments(self) -> list[str]:
        """What to put behind the command line that led here."""
        resume = [] if self.checkpoint is None else ["--ckpt_path", str(self.checkpoint)]
        batches = ["--data.batch_size", str(self.batch_size)]
        return [*batches, "--trainer.accumulate_grad_batches", str(self.accumulate), *resume]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is PyTorch's word for too little memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def smaller(batch_size: int, accumulate: int) -> tuple[int, int] | None:
    """A smaller batch and how many of them make a step, so that a step sees as many photos as before.

    Returns:
        ``None`` where a batch is a single photo already.
    """
    if batch_size == 1:
        return None
    parts = next(count for count in range(2, batch_size + 1) if batch_size % count == 0)
    return batch_size // parts, accumulate * parts


def way_on(batch_size: int, accumulate: int, last: Path | None, *, alone: bool) -> BatchTooLarge | ConfigError:
    """How to go on where a batch did not fit.

    Args:
        batch_size: photos a batch.
        accumulate: how many of them make a step.
        last: the newest checkpoint of the run, if there is one.
        alone: whether this process may decide it by itself.

    Returns:
        An error for the user where it cannot be done here.
    """
    found = smaller(batch_size, accumulate)
    if found is None:
        return ConfigError(
            "out of memory with a single photo a batch; set a smaller model.image_size, choose a smaller "
            "model.backbone, or let fewer stages train"
        )
    if not alone:
        return ConfigError(
            f"out of memory with {batch_size} photos a batch; set data.batch_size {found[0]} and "
            f"trainer.accumulate_grad_batches {found[1]}"
        )
    return BatchTooLarge(*found, last)


def rescale_batches(loops: dict[str, Any], before: int, now: int) -> bool:
    """Let a checkpoint's count of batches within an epoch be of batches of another size, in place.

    Args:
        loops: of Lightning's fit loop, as it stands in the checkpoint.
        before: photos a batch when it was written.
        now: photos a batch from here on.

    Returns:
        Whether that is possible: in the middle of an epoch, an old batch must be some whole new ones.
    """
    progress = loops["epoch_loop.batch_progress"]["current"]
    epochs = loops["epoch_progress"]["current"]
    within = epochs["started"] > epochs["processed"] and progress["processed"] > 0
    if not within:
        return True
    if before % now:
        return False
    # All counts by as much: written at the end of a batch, one of them is still a batch behind.
    more = progress["processed"] * (before // now - 1)
    progress.update({name: count + more for name, count in progress.items()})
    return True


def process_peak() -> int | None:
    """The most memory that this process held so far, in bytes; ``None`` where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_bytes(device: torch.device) -> int | None:
    """The most memory that was held so far where the training computes: of the GPU, or of this process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else process_peak()
