"""All the weights that a run came by, how they did, and which of them is handed over."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from vision_ft.train.judging import Scored


class Candidates:
    """Scores by name, in the order in which they came.

    Attributes:
        scores: of each.
        best: the one that is handed over; ``None`` before anything was offered.
        baseline: what unfreezing must do better than; ``None`` where the run began with a head of zeros.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.scores: dict[str, Scored] = {}
        self.best: str | None = None
        self.baseline: str | None = None

    def offer(self, name: str, scored: Scored) -> bool:
        """Take in a candidate; whether its log-loss is lower than that of every other that was offered."""
        best = None if self.best in (None, name) else self.scores[str(self.best)]
        # A run that is resumed may come by one again that it knows already.
        self.scores.pop(name, None)
        self.scores[name] = scored
        if best is not None and not scored.is_below(best):
            return False
        self.best = name
        return True

    def comparable(self, scored: Scored) -> bool:
        """Whether it is of the same photos as the others."""
        first = next(iter(self.scores.values()), None)
        return first is not None and bool((scored.right.isnan() == first.right.isnan()).all())

    @property
    def handed_over(self) -> Scored | None:
        """How the best does; ``None`` before anything was offered."""
        return None if self.best is None else self.scores[self.best]

    @property
    def before(self) -> Scored | None:
        """How the baseline does; ``None`` where the run began with a head of zeros."""
        return None if self.baseline is None else self.scores[self.baseline]

    def trained(self) -> Scored | None:
        """The lowest of the log-losses that are not of the baseline, nor from before it; ``None`` without any."""
        names = list(self.scores)
        later = names if self.baseline is None else names[names.index(self.baseline) + 1 :]
        return min((self.scores[name] for name in later), key=lambda one: one.log_loss, default=None)

    def verdict(self) -> str:
        """What is handed over, and how much better than the baseline it is, in a sentence."""
        if self.best is None:
            return "nothing was scored"
        best = self.scores[self.best]
        said = f"handed over: {self.best}: {figures(best)}"
        if self.baseline is None:
            return said
        if self.best == self.baseline:
            names = list(self.scores)
            tried = names.index(self.baseline) + 1 < len(names)
            return said + ("; nothing that was unfrozen did better" if tried else "")
        before = self.scores[self.baseline]
        mean, low, high = best.gain(before)
        clear = "" if low > 0 else ": no clear difference"
        return (
            f"{said}; {mean:.4f} below the {self.baseline}, whose log-loss is {before.log_loss:.4f} "
            f"(95 % interval of the difference {low:.4f} to {high:.4f}{clear})"
        )

    def write(self, path: Path) -> None:
        """Write all scores as a table; the differences are to the baseline, above 0 where the log-loss is lower."""
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["weights", "log_loss", "accuracy", "below_baseline", "low", "high", "handed_over"])
            for name, one in self.scores.items():
                gain = one.gain(self.scores[self.baseline]) if self.baseline else ("", "", "")
                table.writerow([name, one.log_loss, one.accuracy, *gain, name == self.best])

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        scores = {name: {"losses": one.losses, "right": one.right} for name, one in self.scores.items()}
        return {"scores": scores, "best": self.best, "baseline": self.baseline}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.scores = {name: Scored(**scores) for name, scores in state_dict["scores"].items()}
        self.best, self.baseline = state_dict["best"], state_dict["baseline"]


def figures(scored: Scored) -> str:
    """Log-loss and accuracy, for people."""
    return f"val loss {scored.log_loss:.4f}, val accuracy {scored.accuracy:.4f}"
