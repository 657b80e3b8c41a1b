"""The names of what lies in the folder of a run: the training half writes it, the report is drawn from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKPOINTS = "checkpoints"
BEST, LAST, HEAD = "best.ckpt", "last.ckpt", "head.ckpt"
MANIFEST, SIDES = "manifest.csv", "sides.csv"


@dataclass
class RunFolder:
    """``runs/NAME/TIME/`` and what lies in it.

    Attributes:
        path: of the folder; in a run of several processes that were not started by one of them, known to all from when
            they have met.
    """

    path: Path

    @property
    def name(self) -> str:
        """What it is called, for people: the kind of run, and when it began."""
        place = self.path.resolve()
        return f"{place.parent.name} · {place.name}"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def best(self) -> Path:
        """The weights with the lowest validation log-loss."""
        return self.checkpoints / BEST

    @property
    def head(self) -> Path:
        """The weights before anything was unfrozen."""
        return self.checkpoints / HEAD

    @property
    def last(self) -> Path:
        """The newest checkpoint, to resume from."""
        return self.checkpoints / LAST

    @property
    def candidates(self) -> Path:
        """The table of all weights that were scored."""
        return self.path / "candidates.csv"

    @property
    def bundle(self) -> Path:
        """The exported model."""
        return self.path / "bundle"

    @property
    def manifest(self) -> Path:
        """The table of the photos of this run."""
        return self.path / MANIFEST

    @property
    def sides(self) -> Path:
        """The side of each photo that this run and those before it knew."""
        return self.path / SIDES

    @property
    def predictions(self) -> Path:
        """What the exported model said of the validation and test photos."""
        return self.path / "predictions.csv"

    @property
    def baselines(self) -> Path:
        """What the model said of the validation photos before anything was unfrozen."""
        return self.path / "baselines.csv"

    @property
    def history(self) -> Path:
        """What trained when, how it did, how long it took."""
        return self.path / "history.json"

    @property
    def others(self) -> Path:
        """What the exported model said of pictures of none of its classes."""
        return self.path / "others.csv"

    @property
    def robustness(self) -> Path:
        """How the exported model does on photos made worse."""
        return self.path / "robustness.json"

    @property
    def pictures(self) -> Path:
        """The photos that the report shows, small, with their heat-maps."""
        return self.path / "pictures.json"

    @property
    def metrics(self) -> Path:
        """All figures of the report; docs/report.md has its schema."""
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def config(self) -> Path:
        """The resolved settings: enough to repeat the run."""
        return self.path / "config.yaml"
