"""How near an engine in eight bits must come to float32, and how near it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from vision_ft.export.part import Labels
from vision_ft.scoring import losses_of

# How far int8 may lie from float32 on the validation part: share of photos that are right, and mean log-loss.
ACCURACY, LOG_LOSS = 0.005, 0.01


@dataclass(frozen=True)
class Nearness:
    """How an engine that only comes near float32 does on the validation part, against float32.

    Attributes:
        photos: how many.
        accuracy: share of them that it is right on.
        accuracy_of_float32: share that float32 is right on.
        log_loss: its mean of -ln(probability of the label).
        log_loss_of_float32: the same of float32.
    """

    photos: int
    accuracy: float
    accuracy_of_float32: float
    log_loss: float
    log_loss_of_float32: float

    @classmethod
    def of(cls, found: npt.NDArray[np.floating], exact: npt.NDArray[np.floating], labels: Labels) -> Nearness:
        """Compare probabilities (photos, classes) of photos with labels (photos,); one photo or more."""
        return cls(
            photos=len(labels),
            accuracy=_accuracy(found, labels),
            accuracy_of_float32=_accuracy(exact, labels),
            log_loss=float(losses_of(found, labels).mean()),
            log_loss_of_float32=float(losses_of(exact, labels).mean()),
        )

    @property
    def fault(self) -> str | None:
        """Why it does not pass, if it does not."""
        if not abs(self.accuracy - self.accuracy_of_float32) <= ACCURACY:
            return f"accuracy {self.accuracy:.2%} against {self.accuracy_of_float32:.2%}, more than 0.5 points off"
        if not abs(self.log_loss - self.log_loss_of_float32) <= LOG_LOSS:
            return f"log-loss {self.log_loss:.4f} against {self.log_loss_of_float32:.4f}, more than {LOG_LOSS:g} off"
        return None

    def as_record(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def _accuracy(probabilities: npt.NDArray[np.floating], labels: Labels) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())
