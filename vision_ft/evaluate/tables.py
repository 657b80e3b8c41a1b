"""The tables of the report, as the words that stand in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vision_ft.data.listing import TEST, VAL
from vision_ft.evaluate.verdict import percent, span, title_of

# Cells of a matrix of more classes cannot be read.
_MOST_CLASSES = 60
_MOST_PAIRS = 15
# Key, title, whether it is a share, and what is to be known of it.
METRICS = (
    ("accuracy", "accuracy", True, "share of photos whose most probable class is the label's"),
    ("log_loss", "log-loss", False, "mean of −ln(probability of the label)"),
    ("clipped_log_loss", "log-loss, clipped", False, "the same with probabilities held within 0.005 and 0.995"),
    ("auroc", "AUROC", False, "share of pairs in order; of several classes the mean"),
    ("average_precision", "average precision", False, "area below precision over recall"),
    ("brier", "Brier score", False, "mean squared distance of the probabilities from the truth"),
    ("calibration_error", "calibration error", False, "mean distance of confidence and accuracy, 15 bins (ECE)"),
)


@dataclass(frozen=True)
class Cell:
    """A figure, and below it the interval or what is to be said in its place."""

    value: str
    below: str = ""


def tiles(part: dict[str, Any]) -> list[tuple[str, Cell]]:
    """The figures that come first."""
    wanted = ("accuracy", "log_loss", "auroc", "calibration_error")
    titles = {key: (title, share) for key, title, share, _ in METRICS}
    return [(titles[key][0], cell(part, key, share=titles[key][1])) for key in wanted if part.get(key) is not None]


def columns(record: dict[str, Any]) -> list[str]:
    """What the figures are of: the model on each part, and what it is held against."""
    parts = [name for name in (TEST, VAL) if name in record["parts"]]
    names = {TEST: "this model, test", VAL: "this model, validation"}
    return [names[name] for name in parts] + [
        f"{title_of(one['name'], record)}, validation" for one in reversed(record["baselines"])
    ]


def metric_rows(record: dict[str, Any]) -> list[tuple[str, str, list[Cell]]]:
    """A row a metric: title, meaning, and a cell a column."""
    sources = [record["parts"][name] for name in (TEST, VAL) if name in record["parts"]]
    sources += list(reversed(record["baselines"]))
    return [
        (title, meaning, [cell(source, key, share=share) for source in sources])
        for key, title, share, meaning in METRICS
    ]


def cell(source: dict[str, Any], key: str, *, share: bool) -> Cell:
    """A figure with its interval."""
    value = source.get(key)
    if value is None:
        return Cell("–")
    interval = source.get(f"{key}_interval")
    said = percent(value) if share else number(value)
    if interval is None:
        return Cell(said)
    if interval[0] == interval[1]:
        # Resampling what has no exception finds none, which is no proof that there are none.
        return Cell(said, "all in order" if key == "auroc" else "no interval to be had")
    return Cell(said, span(interval) if share else f"{number(interval[0])} to {number(interval[1])}")


def number(value: float) -> str:
    """A figure with four digits, and with five where four would make it the end of its scale."""
    return f"{value:.5f}" if 0.99995 <= value < 0.999995 else f"{value:.4f}"


def class_rows(part: dict[str, Any], classes: Sequence[str]) -> list[tuple[str, int, int, Cell, Cell]]:
    """A row a class: name, photos, called so, precision, recall; of many classes the worst recall first."""
    of, called = dict.fromkeys(classes, 0), dict.fromkeys(classes, 0)
    for one in part["confusion"]:
        of[one["label"]] += one["photos"]
        called[one["predicted"]] += one["photos"]

    def shared(kind: str, name: str) -> Cell:
        value, interval = part[kind][name], part[f"{kind}_interval"][name]
        return Cell("–") if value is None else Cell(percent(value), span(interval))

    order = list(classes)
    if len(classes) > _MOST_PAIRS:
        order.sort(key=lambda name: 2.0 if part["recall"][name] is None else part["recall"][name])
    return [(name, of[name], called[name], shared("precision", name), shared("recall", name)) for name in order]


def confusion(part: dict[str, Any], classes: Sequence[str]) -> list[tuple[str, list[tuple[int, int]]]] | None:
    """A row a label, each with counts and shares in percent of the row; ``None`` for too many classes to be read."""
    if len(classes) > _MOST_CLASSES:
        return None
    counts = {(one["label"], one["predicted"]): one["photos"] for one in part["confusion"]}
    rows = []
    for label in classes:
        found = [counts.get((label, predicted), 0) for predicted in classes]
        rows.append((label, [(count, round(100 * count / max(1, sum(found)))) for count in found]))
    return rows


def worst_pairs(part: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """Label, what it was taken for, how often, out of how many; the most frequent confusions first."""
    of: dict[str, int] = {}
    for one in part["confusion"]:
        of[one["label"]] = of.get(one["label"], 0) + one["photos"]
    wrong = [one for one in part["confusion"] if one["label"] != one["predicted"]]
    wrong.sort(key=lambda one: (-one["photos"], -one["photos"] / of[one["label"]]))
    return [(one["label"], one["predicted"], one["photos"], of[one["label"]]) for one in wrong[:_MOST_PAIRS]]


def tone_of(said: str) -> str:
    """How a verdict is coloured."""
    return {"better": "good", "worse": "necessary"}.get(said, "faint")
