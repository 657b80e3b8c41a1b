"""The report of a run: one HTML file with everything in it, from the record and the saved predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vision_ft.data.listing import TEST, VAL
from vision_ft.evaluate import figures
from vision_ft.evaluate.pictures import MISTAKES, NOVEL, SUSPECTS, UNSURE, choose
from vision_ft.evaluate.saved import Part, Saved
from vision_ft.evaluate.svg import svg
from vision_ft.evaluate.tables import class_rows, columns, confusion, metric_rows, tiles, tone_of, worst_pairs
from vision_ft.evaluate.verdict import main_part, percent, span, title_of
from vision_ft.files import shown
from vision_ft.pages import environment
from vision_ft.scoring import losses_of

MARK = "<!doctype html>\n<!-- vision-ft report -->"
PARTS = {TEST: "test", VAL: "validation"}
_GALLERIES = (
    (MISTAKES, "Worst mistakes", "Where the model was surest of a wrong class, the worst first."),
    (
        UNSURE,
        "Least sure",
        "Right or wrong, where the most probable class was least probable; mistakes above left out.",
    ),
    (NOVEL, "Most novel", "Held-out photos that are least like what the model learnt from."),
    (
        SUSPECTS,
        "Suspected wrong labels",
        "Held-out photos that the model takes for another class as surely as it takes that class's own photos. "
        "Look at the label before you blame the model.",
    ),
)


@dataclass(frozen=True)
class Drawn:
    """A figure with what it says.

    Attributes:
        svg: the element.
        title: above it.
        text: below it.
    """

    svg: str
    title: str
    text: str


@dataclass(frozen=True)
class Card:
    """A photo in a gallery; ``photo`` and ``heat`` are addresses, ``None`` where there is nothing to see."""

    path: str
    part: str
    label: str
    guess: str
    confidence: str
    right: bool
    photo: str | None
    heat: str | None
    explains: str | None
    detail: str


def write_report(path: Path, record: dict[str, Any], saved: Saved, pictures: dict[str, dict[str, Any]]) -> None:
    """Write the page; an earlier one is written over.

    Args:
        path: of the HTML file.
        record: of :func:`~vision_ft.evaluate.record.record_of`.
        saved: the predictions it was made of.
        pictures: of :func:`~vision_ft.evaluate.pictures.picture`, by path.
    """
    name = main_part(record)
    classes = saved.spec.classes
    part = None if name is None else saved.parts()[name]
    page = environment("vision_ft.evaluate").get_template("report.html.jinja").render(
        mark=MARK,
        record=record,
        name=shown(record["run"]),
        tiles=[] if name is None else tiles(record["parts"][name]),
        columns=columns(record),
        metrics=metric_rows(record),
        against=[(title_of(one["name"], record), one) for one in record["baselines"]],
        classes=[] if name is None else class_rows(record["parts"][name], classes),
        confusion=None if name is None else confusion(record["parts"][name], classes),
        pairs=[] if name is None else worst_pairs(record["parts"][name]),
        main=PARTS.get(name or "", ""),
        figures=[] if part is None else _figures(part, record, saved, str(name)),
        learning=_learning(record),
        candidates=_candidates(record),
        robustness=_robustness(record),
        galleries=_galleries(record, saved, pictures),
        heated=any(one["heat"] for one in pictures.values()),
        percent=percent,
        span=span,
        tone=tone_of,
    )  # fmt: skip
    path.write_text(page, encoding="utf-8")


def _figures(part: Part, record: dict[str, Any], saved: Saved, name: str) -> list[Drawn]:
    classes, scores = saved.spec.classes, record["parts"][name]
    on = f"{len(part.labels):,} {PARTS[name]} photos"
    temperature, thresholds = saved.spec.temperature, saved.spec.thresholds
    corner = " Only the corner is shown." if (scores["auroc"] or 0) > figures.NEAR_PERFECT else ""
    wanted: list[tuple[str, str, str, Callable[[Figure], None] | None]] = [
        (
            "roc",
            "ROC",
            f"The further up and to the left, the better; {on}.{corner}",
            figures.draw_roc(part, classes, scores["auroc"]),
        ),
        (
            "precision-recall",
            "Precision and recall",
            f"How many of those called so are, over how many of them are found; {on}.{corner}",
            figures.draw_precision_recall(part, classes, scores["auroc"]),
        ),
        (
            "reliability",
            "Reliability",
            "Where a model says 90 %, it should be right nine times in ten: on the dotted line. Bars are 95 % "
            "intervals; below, how many photos were that sure."
            + (
                ""
                if temperature != 1
                else " No temperature was found that is better than 1, so there is no before and after."
            ),
            figures.draw_reliability(part.probabilities, part.labels, temperature),
        ),
        (
            "risk-coverage",
            "Risk and coverage",
            "How many mistakes are left if only the surest photos are answered."
            + (
                ""
                if thresholds.unsure is not None
                else " The model has no threshold for unsure and answers every photo."
            ),
            figures.draw_risk_coverage(part.probabilities, part.labels, thresholds.unsure),
        ),
        ("novelty", "Novelty", "How unlike its training photos a picture is to the model.", _novelty(saved)),
    ]
    return [Drawn(svg(key, title, draw), title, text) for key, title, text, draw in wanted if draw is not None]


def _novelty(saved: Saved) -> Callable[[Figure], None] | None:
    ours = saved.held_out().table["novelty"].drop_nulls().to_numpy()
    if not len(ours):
        return None
    others = None if saved.others is None else saved.others["novelty"].drop_nulls().to_numpy()
    return figures.draw_novelty(ours, others, saved.spec.thresholds.neither)


def _learning(record: dict[str, Any]) -> list[Drawn]:
    training = record["training"]
    texts = {
        "loss": f"Each shaded band is a phase. The star is what is handed over: {training['handed_over']}.",
        "accuracy": "On random views of the training photos, and on the validation photos as they are.",
    }
    drawn = {name: figures.draw_learning(training, name) for name in texts}
    return [
        Drawn(svg(f"learning-{name}", f"Learning curve: {name}", draw), f"Learning curve: {name}", texts[name])
        for name, draw in drawn.items()
        if draw is not None
    ]


def _candidates(record: dict[str, Any]) -> list[dict[str, Any]]:
    """All weights that were scored, with what is to be said of each against the baseline."""
    rows = []
    for one in record["training"]["candidates"]:
        interval = one["below_baseline_interval"]
        said = "" if interval is None else "no clear difference"
        if interval is not None and (interval[0] > 0 or interval[1] < 0):
            said = "better" if interval[0] > 0 else "worse"
        if interval is not None and not one["below_baseline"] and interval[0] == interval[1]:
            said = "held against"
        rows.append({**one, "said": said, "chosen": one["name"] == record["training"]["handed_over"]})
    return rows


def _robustness(record: dict[str, Any]) -> list[Drawn]:
    found = record["robustness"]
    if found is None:
        return []
    return [
        Drawn(
            svg(f"robust-{one['name']}", one["title"], figures.draw_robustness(one, found["clean"])), one["title"], ""
        )
        for one in found["kinds"]
    ]


def _galleries(
    record: dict[str, Any], saved: Saved, pictures: dict[str, dict[str, Any]]
) -> list[tuple[str, str, str, list[Card]]]:
    part = saved.held_out()
    chosen = choose(part, record["suspects"])
    return [
        (name, title, text, [_card(part, row, name, saved.spec.classes, pictures) for row in chosen[name]])
        for name, title, text in _GALLERIES
    ]


def _card(part: Part, row: int, kind: str, classes: Sequence[str], pictures: dict[str, dict[str, Any]]) -> Card:
    path = part.table["path"][row]
    seen = pictures.get(path, {})
    guess = int(part.guesses[row])
    novelty = part.table["novelty"][row]
    detail = f"novelty {novelty:.3g}" if kind == NOVEL and novelty is not None else ""
    if kind == MISTAKES:
        own = part.probabilities[row, part.labels[row]]
        loss = losses_of(part.probabilities, part.labels)[row]
        detail = f"{classes[part.labels[row]]}: {percent(float(own))}, loss {loss:.2f}"
    return Card(
        path=shown(path),
        part=PARTS[part.table["split"][row]],
        label=classes[part.labels[row]],
        guess=classes[guess],
        confidence=percent(float(part.probabilities[row, guess])),
        right=bool(part.right[row]),
        photo=seen.get("photo"),
        heat=seen.get("heat"),
        explains=seen.get("explains"),
        detail=detail,
    )


def is_ours(path: Path) -> bool:
    """Whether a file is a page of ours, and no file of the user's."""
    if not path.is_file():
        return not path.exists()
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()
