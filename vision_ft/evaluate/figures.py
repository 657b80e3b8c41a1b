"""The figures of the report: what is drawn in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from vision_ft.evaluate.curves import Bin, Curve, precision_recall, reliability, risk_coverage, roc, uncalibrated
from vision_ft.evaluate.intervals import Floats
from vision_ft.evaluate.metrics import Probabilities
from vision_ft.evaluate.saved import Part
from vision_ft.evaluate.svg import FAINT, FIRST, FOURTH, INK, SECOND, THIRD, in_percent, legend_name
from vision_ft.scoring import Labels

# Curves of more classes than this are drawn faintly, with their mean in front.
_FEW = 6
# Where the area is larger than this, the corner is what there is to see.
NEAR_PERFECT = 0.98


def _classes_drawn(part: Part, classes: Sequence[str]) -> list[tuple[str, Probabilities, Any]]:
    """Name, scores and truth of each class that has a curve; of two classes, the second against the first."""
    numbers = [1] if len(classes) == 2 else range(len(classes))
    each = [(classes[number], part.probabilities[:, number], part.labels == number) for number in numbers]
    return [one for one in each if one[2].any() and not one[2].all()]


def _draw_curves(axes: Axes, curves: Sequence[tuple[str, Curve]], grid: Floats, *, left: bool) -> None:
    if len(curves) <= _FEW:
        for (name, curve), colour in zip(curves, (FIRST, SECOND, THIRD, FOURTH, INK, FAINT), strict=False):
            axes.step(curve.x, curve.y, where="post" if left else "pre", color=colour, label=legend_name(name))
        if len(curves) > 1:
            axes.legend(loc="lower right" if left else "lower left")
        return
    for _, curve in curves:
        axes.plot(curve.x, curve.y, color=FAINT, linewidth=0.6, alpha=0.5)
    mean = np.mean([np.interp(grid, curve.x, curve.y) for _, curve in curves], axis=0)
    axes.plot(grid, mean, color=FIRST, label=f"mean of {len(curves)} classes")
    axes.legend(loc="lower right" if left else "lower left")


def draw_roc(part: Part, classes: Sequence[str], area: float | None) -> Callable[[Figure], None] | None:
    """True positives over false ones; ``None`` where there is no pair to tell apart."""
    curves = [(name, roc(scores, truth)) for name, scores, truth in _classes_drawn(part, classes)]
    if not curves:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        corner = 0.2 if area is not None and area > NEAR_PERFECT else 1.0
        _draw_curves(axes, curves, np.linspace(0, 1, 200), left=True)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
        axes.set(xlim=(-0.01 * corner, corner), ylim=(1 - corner * 1.0, 1 + 0.02 * corner))
        one = f"{classes[0]!r} taken for {classes[1]!r}" if len(classes) == 2 else "others let in"
        axes.set_xlabel(f"{one}, share")
        axes.set_ylabel(f"{classes[1]!r} found, share" if len(classes) == 2 else "found, share")
        in_percent(axes)

    return draw


def draw_precision_recall(part: Part, classes: Sequence[str], area: float | None) -> Callable[[Figure], None] | None:
    """Precision over recall; ``None`` where there is no pair to tell apart."""
    shown = range(len(classes))
    each = [(classes[number], part.probabilities[:, number], part.labels == number) for number in shown]
    curves = [(name, precision_recall(scores, truth)) for name, scores, truth in each if truth.any()]
    if not curves:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        corner = 0.2 if area is not None and area > NEAR_PERFECT else 1.0
        _draw_curves(axes, curves, np.linspace(0.01, 1, 200), left=False)
        axes.set(xlim=(1 - corner, 1 + 0.01 * corner), ylim=(1 - corner, 1 + 0.02 * corner))
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        in_percent(axes)

    return draw


def draw_reliability(probabilities: Probabilities, labels: Labels, temperature: float) -> Callable[[Figure], None]:
    """Accuracy over confidence, after calibration and, where there was one, before."""
    after = reliability(probabilities, labels)
    before = reliability(uncalibrated(probabilities, temperature), labels) if temperature != 1 else []

    def draw(figure: Figure) -> None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
        if before:
            _bins(axes, before, SECOND, "before calibration", "none")
        _bins(axes, after, FIRST, "after calibration" if before else "as handed over", FIRST)
        lowest = min(one.confidence for one in [*after, *before])
        axes.set(xlim=(max(0.0, lowest - 0.05), 1.01), ylim=(-0.02, 1.04))
        axes.set_ylabel("right, share")
        if before:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        below.bar([one.confidence for one in after], [one.photos for one in after], width=0.02, color=FIRST)
        below.set_yscale("log")
        below.yaxis.set_major_formatter(FuncFormatter(lambda photos, _: f"{photos:,g}"))
        below.yaxis.set_minor_formatter(NullFormatter())
        below.set_ylabel("photos")
        below.set_xlabel("confidence")
        in_percent(axes)
        in_percent(below, y=False)

    return draw


def _bins(axes: Axes, bins: Sequence[Bin], colour: str, label: str, filled: str) -> None:
    x, y = np.array([one.confidence for one in bins]), np.array([one.accuracy for one in bins])
    low = y - np.array([one.interval[0] for one in bins])
    high = np.array([one.interval[1] for one in bins]) - y
    errors = np.maximum(0, [low, high])
    axes.errorbar(
        x, y, yerr=errors, fmt="o", color=colour, markerfacecolor=filled, markersize=5, linewidth=1.2, label=label
    )


def draw_risk_coverage(probabilities: Probabilities, labels: Labels, unsure: float | None) -> Callable[[Figure], None]:
    """Mistakes among what is answered, over how much is, with what is called unsure shaded."""
    curve = risk_coverage(probabilities, labels)
    kept = None if unsure is None else float((probabilities.max(axis=1) >= unsure).mean())

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=FIRST, alpha=0.15, linewidth=0)
        axes.plot(curve.x, curve.y, color=FIRST, label="mistakes, with 95 % interval")
        if kept is not None:
            axes.axvspan(kept, 1, color=SECOND, alpha=0.15, linewidth=0)
            axes.axvline(kept, color=SECOND, linewidth=1.2, linestyle="--")
            axes.plot(
                [], [], color=SECOND, linestyle="--", label=f"unsure below {unsure:.2f}: {1 - kept:.1%} of photos"
            )
        highest = float(curve.y.max())
        top = max(0.02, min(1.0, 2.5 * highest))
        axes.set(xlim=(0, 1.0), ylim=(0, top))
        axes.set_xlabel("answered, share (the surest first)")
        axes.set_ylabel("mistakes among them")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left")
        in_percent(axes)

    return draw


def draw_novelty(ours: Floats, others: Floats | None, neither: float | None) -> Callable[[Figure], None]:
    """How new held-out photos are to the model and, if given, other pictures."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        together = ours if others is None else np.concatenate([ours, others])
        edges = np.histogram_bin_edges(together, bins=30).tolist()
        axes.hist(
            ours, edges, weights=np.full(len(ours), 1 / len(ours)), color=FIRST, alpha=0.6, label="held-out photos"
        )
        if others is not None and len(others):
            weights = np.full(len(others), 1 / len(others))
            axes.hist(others, edges, weights=weights, color=SECOND, alpha=0.6, label="other pictures")
        if neither is not None:
            axes.axvline(neither, color=INK, linewidth=1.2, linestyle="--", label=f"neither above {neither:.3g}")
        axes.set_xlabel("novelty")
        axes.set_ylabel("share of photos")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        in_percent(axes, x=False)

    return draw


def draw_learning(training: dict[str, Any], figure_name: str) -> Callable[[Figure], None] | None:
    """Loss or accuracy by epoch, the phases shaded, what is handed over marked; ``None`` without an epoch.

    Args:
        training: of the record.
        figure_name: ``"loss"`` or ``"accuracy"``.
    """
    epochs = training["epochs"]
    if not epochs:
        return None
    ours = "log_loss" if figure_name == "loss" else figure_name
    scored = {one["name"]: one[ours] for one in training["candidates"]}
    start = next((scored[name] for name in ("head alone", "pretrained head") if name in scored), None)
    chosen = scored.get(training["handed_over"])

    def line(axes: Axes, name: str, colour: str, label: str) -> None:
        known = [(one["epoch"], one[name]) for one in epochs if one.get(name) is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, marker="o", markersize=4, label=label)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _phases(axes, epochs)
        line(axes, f"train_{figure_name}", FAINT, "training views")
        line(axes, f"val_{figure_name}", FIRST, "validation")
        if start is not None:
            axes.plot(0, start, color=FIRST, marker="D", markersize=5, linestyle="none", label="before unfreezing")
        if chosen is not None:
            axes.plot(
                training["handed_over_epoch"], chosen, color=SECOND, marker="*", markersize=13, linestyle="none",
                label="handed over", clip_on=False, zorder=5,
            )  # fmt: skip
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(-0.3, epochs[-1]["epoch"] + 0.3)
        if figure_name == "loss":
            axes.set_ylim(bottom=0)
            axes.set_ylabel("log-loss")
        else:
            axes.set_ylabel("accuracy")
            in_percent(axes, x=False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)

    return draw


def _phases(axes: Axes, epochs: Sequence[dict[str, Any]]) -> None:
    phases: dict[int, list[dict[str, Any]]] = {}
    for one in epochs:
        phases.setdefault(one["phase"], []).append(one)
    for number, rows in phases.items():
        first, last = rows[0]["epoch"] - 1, rows[-1]["epoch"]
        axes.axvspan(first, last, color=THIRD, alpha=0.16 if number % 2 else 0.07, linewidth=0)
        if len(phases) <= _FEW:
            text = f"{len(rows[0]['stages'])} stages" if len(rows[0]["stages"]) > 1 else "1 stage"
            axes.text(
                (first + last) / 2, 0.97, text, ha="center", va="top", fontsize=8.5, color=FAINT,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def draw_robustness(kind: dict[str, Any], clean: dict[str, Any]) -> Callable[[Figure], None]:
    """Accuracy over the strength of one way of making photos worse; strength 0 is the photos as they are."""
    points = [clean, *kind["strengths"]]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        x = np.arange(len(points))
        low, high = (np.array([one["accuracy_interval"][end] for one in points]) for end in (0, 1))
        axes.fill_between(x, low, high, color=FIRST, alpha=0.15, linewidth=0)
        axes.plot(x, [one["accuracy"] for one in points], color=FIRST, marker="o", markersize=4)
        axes.set_xticks(x, ["as it is", *(one["strength"] for one in kind["strengths"])])
        axes.set_ylim(min(0.45, float(low.min()) - 0.02), 1.01)
        axes.set_xlabel(kind["title"])
        axes.set_ylabel("accuracy")
        in_percent(axes, x=False)

    return draw
