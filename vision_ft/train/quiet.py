"""What Lightning says of what is meant here, or of what is none of the user's business."""

from __future__ import annotations

import logging
import warnings

_MEANT = (
    r".*does not have many workers.*",
    r".*in eval mode at the start of training.*",
    r"Experiment logs directory .* exists and is not empty.*",
    r".*The number of training batches .* is smaller than the logging interval.*",
    r"Checkpoint directory .* exists and is not empty.*",
    r"The dirpath has changed from .*",
    r"Be aware that when using `ckpt_path`, callbacks used to create the checkpoint .*",
    r"You're resuming from a checkpoint that ended before the epoch ended .*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
)


def quieten() -> None:
    """Leave it unsaid, for as long as the process lasts."""
    for message in _MEANT:
        warnings.filterwarnings("ignore", message=message)
    for name in ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
