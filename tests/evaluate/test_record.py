"""Records and pages of runs that are made by hand: what a training would seldom give."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.evaluate.test_metrics import random_scores
from tests.export.test_card import spec_of
from tests.metrics_schema import check
from vision_ft.commands.reporting import draw_report
from vision_ft.evaluate.curves import uncalibrated
from vision_ft.run_folder import RunFolder
from vision_ft.scoring import losses_of
from vision_ft.spec import ModelSpec, Thresholds

CLASSES = ("cat", "dog")


def write_run(
    folder: Path,
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...] = CLASSES,
    parts: tuple[str, ...] = ("val", "test"),
    **changes: Any,
) -> RunFolder:
    """The files of a run, with photos dealt to the parts in turn."""
    run = RunFolder(folder)
    run.bundle.mkdir(parents=True)
    spec: ModelSpec = dataclasses.replace(spec_of(), classes=classes, metrics={}, **changes)
    (run.bundle / "spec.json").write_text(spec.to_json())
    guesses = [classes[best] for best in probabilities.argmax(axis=1)]
    pl.DataFrame(
        {
            "path": [f"{classes[label]}/{number}.jpg" for number, label in enumerate(labels)],
            "split": [parts[number % len(parts)] for number in range(len(labels))],
            "label": [classes[label] for label in labels],
            "verdict": guesses,
            **{f"probability {name}": probabilities[:, number] for number, name in enumerate(classes)},
            "error": [None] * len(labels),
        },
        schema_overrides={"error": pl.String},
    ).write_csv(run.predictions)
    return run


class _Texts(HTMLParser):
    """The elements of a page, and whether they are nested as they should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "link", "img", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def drawn(run: RunFolder) -> tuple[dict[str, Any], str]:
    record = draw_report(run)
    assert record == json.loads(run.metrics.read_text())
    check(record)
    page, parser = run.report.read_text(), _Texts()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"""(?:src|href|url\()=?["']?(?:https?:)?//""", page), "an address of another place"
    return record, page


NAMES = {
    "signs of HTML and formulas": ("<b>bold</b>", "$\\alpha$ & 'x'"),
    "words of others": ("猫", "🐶 _dog"),
    "nothing that reads well": ("_", "null"),
    "many": tuple(f"class {number}" for number in range(70)),
    "several": ("a", "b", "c"),
}


@pytest.mark.parametrize("case", NAMES)
def test_classes_of_any_name_and_number(case: str, tmp_path: Path) -> None:
    classes = NAMES[case]
    probabilities, labels = random_scores(300, len(classes))
    record, page = drawn(write_run(tmp_path / "run", probabilities, labels, classes))
    assert set(record["parts"]["test"]["recall"]) == set(classes)
    assert "<b>bold</b>" not in page
    assert ('id="confusion"' in page) == (len(classes) <= 60)
    assert record["data"]["skipped"] == 0


EXTREMES = {
    "all right and sure": (np.eye(2, dtype=np.float32)[[0, 0, 1, 1] * 2], np.array([0, 0, 1, 1] * 2)),
    "all wrong and sure": (np.eye(2, dtype=np.float32)[[0, 1] * 4], np.array([1, 0] * 4)),
    "one class alone": (random_scores(8, 2)[0], np.zeros(8, np.int64)),
    "two photos": (random_scores(2, 2)[0], np.array([0, 1])),
    "all the same": (np.full((8, 2), 0.5, np.float32), np.array([0, 1] * 4)),
}


@pytest.mark.parametrize("case", EXTREMES)
def test_extremes_have_a_page(case: str, tmp_path: Path) -> None:
    probabilities, labels = EXTREMES[case]
    record, page = drawn(write_run(tmp_path / "run", probabilities, labels))
    assert record["verdict"] in page.replace("&#39;", "'")
    if case == "all right and sure":
        assert "None: every held-out photo was recognised." in page
        assert "all in order" in page


def test_without_a_test_part_the_page_says_that_it_is_flattered(tmp_path: Path) -> None:
    record, page = drawn(write_run(tmp_path / "run", *random_scores(50, 2), parts=("val",)))
    assert "validation photos" in record["verdict"]
    assert "chosen on these very photos" in record["verdict"]
    assert list(record["parts"]) == ["val"]
    assert "this model, test" not in page


def test_what_is_unsure_or_neither_is_counted_apart(tmp_path: Path) -> None:
    probabilities, labels = random_scores(60, 2)
    run = write_run(tmp_path / "run", probabilities, labels, thresholds=Thresholds(unsure=0.7, neither=0.5))
    table = pl.read_csv(run.predictions, infer_schema=False)
    verdicts = ["unsure", "neither", "cat", "dog"] * 15
    novelty = np.linspace(0, 1, 60)
    table.with_columns(verdict=pl.Series(verdicts), novelty=pl.Series(novelty)).write_csv(run.predictions)
    pl.DataFrame(
        {
            "path": ["a.jpg", "b.jpg", "c.jpg"], "folder": ["strange"] * 3, "verdict": ["cat", "neither", None],
            "novelty": [0.2, 3.0, None], "probability cat": [0.95, 0.4, None], "probability dog": [0.05, 0.6, None],
            "error": [None, None, "broken"],
        }
    ).write_csv(run.others)  # fmt: skip
    record, page = drawn(run)
    answered = record["parts"]["test"]["answered"]
    assert (answered["photos"], answered["unsure"], answered["neither"]) == (15, 0, 15)
    assert (record["others"]["photos"], record["others"]["refused"], record["others"]["surer_than_90"]) == (2, 1, 1)
    assert record["others"]["novelty_auroc"] == pytest.approx((12.5 / 60 + 1) / 2, abs=0.02)
    assert 'id="figure-novelty"' in page
    assert "Most novel (12)" in page
    assert "unsure below 0.70" in page


def test_a_calibrated_model_is_held_against_baselines_as_it_was_before(tmp_path: Path) -> None:
    probabilities, labels = random_scores(80, 2)
    run = write_run(tmp_path / "run", probabilities, labels, temperature=2.0)
    before = uncalibrated(probabilities, 2.0)
    val = np.arange(0, 80, 2)
    # The very model, before calibration: of known losses, and of nothing else.
    pl.DataFrame(
        {
            "weights": ["head alone"] * 40,
            "path": [f"{CLASSES[labels[row]]}/{row}.jpg" for row in val],
            "label": [CLASSES[labels[row]] for row in val],
            "log_loss": losses_of(before[val], labels[val]),
            "right": [bool(one) for one in before[val].argmax(axis=1) == labels[val]],
            "probability cat": [None] * 40,
            "probability dog": [None] * 40,
        },
        schema_overrides={"probability cat": pl.Float64, "probability dog": pl.Float64},
    ).write_csv(run.baselines)
    record = draw_report(run)
    (baseline,) = record["baselines"]
    assert "auroc" not in baseline
    assert baseline["against"]["log_loss_gain"] == pytest.approx(0, abs=1e-5)
    assert baseline["against"]["log_loss_verdict"] == "no clear difference"
    assert record["parts"]["val"]["before_calibration"]["log_loss"] == pytest.approx(baseline["log_loss"], abs=1e-6)
    assert "no clear difference to the head alone" in record["verdict"]


def test_a_wrong_label_is_suspected(tmp_path: Path) -> None:
    labels = np.array([0, 1] * 30)
    probabilities = np.full((60, 2), 0.02, np.float32)
    probabilities[np.arange(60), labels] = 0.98
    wrong = labels.copy()
    wrong[7] = 0
    record, page = drawn(write_run(tmp_path / "run", probabilities, wrong))
    (one,) = record["suspects"]
    assert (one["path"], one["label"], one["looks_like"]) == ("cat/7.jpg", "cat", "dog")
    assert "Suspected wrong labels (1)" in page


def test_photos_that_broke_since_are_left_out_and_listed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", *random_scores(40, 2))
    table = pl.read_csv(run.predictions, infer_schema=False)
    broken = pl.Series([number == 3 for number in range(40)])
    table.with_columns(
        *(pl.when(broken).then(None).otherwise(pl.col(name)).alias(name) for name in table.columns[3:-1]),
        error=pl.when(broken).then(pl.lit("cut off")).otherwise(None),
    ).write_csv(run.predictions)
    record, page = drawn(run)
    assert record["parts"]["test"]["photos"] == 19
    assert [one["problem"] for one in record["data"]["skipped_files"]] == ["cut off"]
    assert "cut off" in page
