"""Pictures of what was tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vision_ft.train.finder import Rates


def draw_rates(found: Sequence[Rates], path: Path) -> None:
    """Draw the loss over the learning rate, a panel a phase."""
    # Not pyplot: it looks for a display, and keeps what it draws.
    figure = Figure(figsize=(4.5 * len(found), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, one in zip(panels, found, strict=True):
        panel.plot(one.rates, one.losses, color="#1f5fa8", linewidth=1.6)
        panel.set_xscale("log")
        fallen = max([-loss for loss in one.losses if math.isfinite(loss)] + [1e-3])
        panel.set_ylim(-1.3 * fallen, 1.3 * fallen)
        panel.axhline(0, color="#777777", linewidth=0.8)
        panel.set_xlabel("learning rate of the topmost stage")
        panel.set_ylabel("training loss less that of no training")
        panel.set_title(f"phase {one.phase}")
        panel.axvline(one.configured, color="#777777", linestyle=":", label=f"configured, {one.configured:g}")
        if one.suggested is not None:
            label = f"falls fastest, {one.suggested:.1e}"
            panel.axvline(one.suggested, color="#c8501e", linestyle="--", label=label)
        panel.grid(alpha=0.25)
        panel.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=140)
