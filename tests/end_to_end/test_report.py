"""The page of a run: made by every fit, drawn again from files alone, and looked at in a browser."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import vision_ft
from tests.browser import chromium, opened
from tests.conftest import REPOSITORY, Command, environment
from tests.metrics_schema import check
from vision_ft.cli import main
from vision_ft.supply.draw import draw_set

CONFIG = REPOSITORY / "configs" / "quickstart.yaml"
FIGURES = {"roc", "precision-recall", "reliability", "risk-coverage", "learning-loss", "learning-accuracy"}
ROBUST = {f"robust-{name}" for name in ("jpeg", "blur", "noise", "dark", "rotation", "small", "grey")}


@pytest.fixture(scope="module")
def photos(place: Path) -> Path:
    draw_set(place / "photos", count=60, size=72)
    (place / "photos/dog/cut.jpg").write_bytes((place / "photos/dog/dog.0.jpg").read_bytes()[:400])
    return place / "photos"


def fit(command: Command, place: Path, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    phases = "[{epochs: 1, stages: 1, lr: 0.01}, {epochs: 1, stages: 3, lr: 0.001}]"
    return command(
        "fit", "--config", CONFIG, "--data.root", "photos", "--model.image_size", "64", "--data.batch_size", "16",
        "--run.name", name, "--unfreeze.phases", phases, "--trainer.accelerator", "cpu", *more, cwd=place, code=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(place: Path, photos: Path, command: Command) -> subprocess.CompletedProcess[str]:
    return fit(command, place, "first", "--data.split", "{train: 0.5, val: 0.25, test: 0.25}")


@pytest.fixture(scope="module")
def run(place: Path, fitted: object) -> Path:
    return (place / "runs/first/latest").resolve()


def metrics_of(run: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return record


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def test_a_fit_ends_with_a_table_and_the_page(fitted: subprocess.CompletedProcess[str], run: Path) -> None:
    assert "accuracy" in fitted.stdout
    assert f"report: runs/first/{run.name}/report.html" in fitted.stdout
    assert metrics_of(run)["verdict"] in fitted.stdout
    assert "Warning" not in fitted.stderr
    page = (run / "report.html").read_text()
    assert page.startswith("<!doctype html>\n<!-- vision-ft report -->")
    assert len(page) < 5_000_000


def test_the_figures_have_the_schema_that_is_written_down(run: Path) -> None:
    record = metrics_of(run)
    check(record)
    words = (REPOSITORY / "docs/report.md").read_text()
    lacking = [key for key in {*record, *record["parts"]["test"], *record["cost"]} if f"`{key}`" not in words]
    assert not lacking, "docs/report.md does not tell of these"


def test_the_figures_are_those_of_the_bundle_and_of_the_predictions(run: Path) -> None:
    record, spec = metrics_of(run), vision_ft.load(run / "bundle").spec
    with (run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for part in ("val", "test"):
        ours = record["parts"][part]
        assert ours["accuracy"] == spec.metrics[part]["accuracy"]
        assert ours["log_loss"] == pytest.approx(spec.metrics[part]["log_loss"], abs=1e-6)
        shown = [row for row in rows if row["split"] == part]
        right = sum((float(row["probability cat"]) > 0.5) == (row["label"] == "cat") for row in shown)
        assert (ours["photos"], ours["accuracy"]) == (len(shown), right / len(shown))
        assert sum(one["photos"] for one in ours["confusion"]) == len(shown)
    assert [one["name"] for one in record["baselines"]] == ["pretrained head", "head alone"]
    with (run / "candidates.csv").open() as file:
        scored = {row["weights"]: row for row in csv.DictReader(file)}
    for one in record["baselines"]:
        assert one["accuracy"] == pytest.approx(float(scored[one["name"]]["accuracy"]))
        assert one["log_loss"] == pytest.approx(float(scored[one["name"]]["log_loss"]), abs=1e-5)
        assert one["auroc"] is not None
        pair = one["against"]
        # What is handed over, held against what it began with: the difference that the run itself has found.
        chosen = float(scored[record["training"]["handed_over"]]["log_loss"])
        assert pair["log_loss_gain"] == pytest.approx(one["log_loss"] - chosen, abs=1e-3)
    assert record["data"]["skipped"] == 1
    assert record["data"]["skipped_files"][0]["path"] == "dog/cut.jpg"
    assert [one["epoch"] for one in record["training"]["epochs"]] == [1, 2]
    assert [one["phase"] for one in record["training"]["epochs"]] == [1, 2]
    assert record["cost"]["command_seconds"] > record["cost"]["seconds"] > record["cost"]["head_seconds"] > 0
    assert record["cost"]["memory"] > 1e8


def test_the_card_in_the_bundle_is_filled_from_the_run(run: Path) -> None:
    card = ModelCard.load(run / "bundle/README.md")
    found = {(one.dataset_split, one.metric_type): one.metric_value for one in card.data.eval_results}
    assert found["test", "accuracy"] == pytest.approx(metrics_of(run)["parts"]["test"]["accuracy"], rel=1e-5)


ALONE = """
import sys
from vision_ft.cli import main
code = main(sys.argv[1:])
loaded = {"torch", "timm", "pytorch_lightning", "captum", "onnx", "safetensors", "sklearn"} & set(sys.modules)
sys.exit(f"{loaded} was loaded" if loaded else code)
"""


def test_the_page_is_drawn_again_without_a_model(run: Path, place: Path) -> None:
    """No checkpoint, no graph, no photo, and no PyTorch; but for the time, it is the same page."""
    alone = place / "alone"
    shutil.copytree(run, alone, ignore=shutil.ignore_patterns("checkpoints", "*.onnx", "*.safetensors", "report.html"))
    (alone / "metrics.json").unlink()
    history = json.loads((alone / "history.json").read_text())
    (alone / "history.json").write_text(json.dumps({**history, "root": "/nowhere"}))
    done = subprocess.run(
        [sys.executable, "-c", ALONE, "report", str(alone)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"report: {alone / 'report.html'}" in done.stdout.replace("\n", "")
    before, after = metrics_of(run), metrics_of(alone)
    assert {**before, "made": None, "run": None} == {**after, "made": None, "run": None}

    def plain(folder: Path) -> str:
        text = (folder / "report.html").read_text()
        record = metrics_of(folder)
        # The bundle may have been made in the very second that the page was.
        for own in (record["run"], record["made"]["at"], record["model"]["created"]):
            text = text.replace(own, "")
        return text

    assert plain(alone) == plain(run)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(run: Path, browser: Any, width: int, scheme: str) -> None:
    tab, heard = opened(browser, run / "report.html", width, scheme)
    assert heard.console == []
    assert heard.elsewhere == []
    wanted = FIGURES
    shown = {
        one.removeprefix("figure-")
        for one in tab.evaluate("[...document.querySelectorAll('svg')].map((one) => one.id)")
    }
    assert wanted <= shown
    # All of them have a size and something in it, and none is wider than the page.
    boxes = tab.evaluate(
        "[...document.querySelectorAll('svg')].map((one) => [one.getBoundingClientRect().width,"
        " one.getBoundingClientRect().right, one.querySelectorAll('path').length])"
    )
    for size, right, paths in boxes:
        assert 200 < size <= width
        assert right <= width
        assert paths > 5
    assert tab.evaluate("document.documentElement.scrollWidth") == width, "the page itself does not scroll sideways"
    broken = tab.evaluate("[...document.images].filter((one) => !one.naturalWidth).map((one) => one.alt)")
    assert broken == []
    assert tab.evaluate("document.querySelectorAll('.gallery img').length") > 20, "photos with their heat"
    # Letters can be read against the ground, in the figures too, on a phone too.
    assert tab.evaluate(CONTRAST) > 4.5
    small = tab.evaluate(
        "Math.min(...[...document.querySelectorAll('svg text')].map((one) => one.getBoundingClientRect().height))"
    )
    assert small > 9


CONTRAST = """() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255)
      .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const letters = [...document.querySelectorAll('svg text, p, td, h2')].map((one) => {
    const style = getComputedStyle(one);
    return light(one.closest('svg') ? style.fill : style.color);
  });
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const all = [...document.querySelectorAll('svg text, p, td, h2')];
  return Math.min(...letters.filter((_, place) => !all[place].matches('.full')).map((one) => ratio(one, ground)));
}"""


def test_heat_can_be_switched_off_and_settings_opened(run: Path, browser: Any) -> None:
    tab, _ = opened(browser, run / "report.html")
    shown = "[...document.querySelectorAll('.heat')].filter((one) => one.offsetParent).length"
    assert tab.evaluate(shown) > 0
    tab.uncheck("#heat")
    assert tab.evaluate(shown) == 0
    tab.click("summary")
    assert "tf_efficientnet_lite0" in tab.inner_text("details pre")


def test_the_page_is_printed_on_paper(run: Path, browser: Any, place: Path) -> None:
    tab, _ = opened(browser, run / "report.html", scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()") == "#1d1d1f"
    assert tab.pdf(format="A4")[:5] == b"%PDF-"


@pytest.fixture(scope="module")
def asked(run: Path, place: Path, command: Command) -> subprocess.CompletedProcess[str]:
    """Other pictures, and photos made worse: in a copy, for the others look at the run as it was."""
    shutil.copytree(run, place / "asked")
    draw_set(place / "others", count=6, size=72)
    return command(
        "report", "asked", "--others", "others/cat", "--robustness", "--photos", "8", cwd=place
    )  # fmt: skip


def test_what_is_said_of_other_pictures_is_on_the_page_and_in_the_card(
    asked: subprocess.CompletedProcess[str], place: Path
) -> None:
    record = metrics_of(place / "asked")
    check(record)
    assert record["others"]["photos"] == 6
    assert "Of 6 other pictures, 0 were not taken for one of the classes." in record["verdict"]
    bundle = vision_ft.load(place / "asked/bundle")
    assert bundle.spec.metrics["others"]["photos"] == 6
    assert "Of 6 pictures of none of its classes (`cat`), 0" in (place / "asked/bundle/README.md").read_text()
    assert {path.name for path in (place / "asked/bundle").iterdir()} == {
        "model.onnx", "weights.safetensors", "spec.json", "README.md", "golden.json", "golden.png",
    }  # fmt: skip


def test_photos_made_worse_are_curves(asked: object, place: Path, browser: Any) -> None:
    found = metrics_of(place / "asked")["robustness"]
    assert [len(kind["strengths"]) for kind in found["kinds"]] == [5] * 7
    assert found["photos"] == 8
    assert found["seconds"] > 0
    tab, heard = opened(browser, place / "asked/report.html")
    assert heard.console == heard.elsewhere == []
    shown = tab.evaluate("[...document.querySelectorAll('svg')].map((one) => one.id.replace('figure-', ''))")
    assert set(shown) >= FIGURES | ROBUST


def test_test_writes_the_page_of_a_checkpoint(run: Path, place: Path, command: Command) -> None:
    """Of the run's best weights it is the run's own; of others it lies apart, and the run's stays as it is."""
    before = (run / "predictions.csv").read_bytes()
    config = run / "config.yaml"
    done = command("test", "--config", config, "--ckpt_path", run / "checkpoints/best.ckpt", cwd=place, code=3)
    assert f"report: {run / 'report.html'}" in done.stdout.replace("\n", "")
    assert (run / "predictions.csv").read_bytes() == before
    page = (run / "report.html").read_bytes()
    done = command("test", "--config", config, "--ckpt_path", run / "checkpoints/last.ckpt", cwd=place, code=3)
    (apart,) = (run / "tests").iterdir()
    assert apart.name.startswith("last-")
    assert f"report: {apart / 'report.html'}" in done.stdout.replace("\n", "")
    assert (run / "report.html").read_bytes() == page
    record = metrics_of(apart)
    check(record)
    assert record["baselines"] == []
    assert not (apart / "bundle").exists()


def test_two_runs_side_by_side(run: Path, place: Path, command: Command, browser: Any) -> None:
    split = ["--data.split", "{train: 0.5, val: 0.25, test: 0.25, seed: 1}"]
    fit(command, place, "second", *split, "--unfreeze.phases", "[]")
    second = (place / "runs/second/latest").resolve()
    done = command("report", run, second, cwd=place)
    page = run / "comparison.html"
    assert f"page: {page}" in done.stdout.replace("\n", "")
    tests = []
    for folder in (run, second):
        with (folder / "manifest.csv").open() as file:
            tests.append({row["sha256"] for row in csv.DictReader(file) if row["split"] == "test"})
    common = len(tests[0] & tests[1])
    assert 0 < common < len(tests[0])
    assert f"On {common} photos that both kept out of training" in done.stdout
    tab, heard = opened(browser, page, 390)
    assert heard.console == heard.elsewhere == []
    cells = [int(text) for text in tab.locator("#confusion td").all_inner_texts()]
    assert sum(cells) == common
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    # The same the other way round, into another place.
    done = command("report", second, run, "--out", "other way.html", cwd=place)
    other, _ = opened(browser, place / "other way.html")
    turned = [int(text) for text in other.locator("#confusion td").all_inner_texts()]
    assert turned == [cells[0], cells[2], cells[1], cells[3]]


def test_runs_without_a_photo_in_common_are_not_compared(run: Path, place: Path, command: Command) -> None:
    stranger = place / "stranger"
    shutil.copytree(run, stranger, ignore=shutil.ignore_patterns("checkpoints", "*.onnx", "*.safetensors"))
    with (stranger / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (stranger / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows({**row, "sha256": row["sha256"][::-1]} for row in rows)
    done = command("report", run, stranger, "--out", "apart.html", cwd=place)
    assert "kept no photo in common out of training" in done.stdout
    assert "Each on its own photos" in (place / "apart.html").read_text()
    assert "McNemar" not in (place / "apart.html").read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere"], ["no folder 'nowhere'"]),
        (["photos"], ["is no run that ended"]),
        (["RUN", "RUN", "RUN"], ["must be one or two"]),
        (["RUN", "RUN"], ["twice; name two runs"]),
        (["RUN", "alone", "--robustness"], ["are for one run"]),
        (["RUN", "--out", "x.html"], ["--out is for two runs"]),
        (["RUN", "--photos", "5"], ["--photos is for --robustness"]),
        (["RUN", "--others", "nowhere"], ["--others: no photos below 'nowhere'"]),
        (["alone", "--robustness"], ["model.onnx"]),
        (["RUN", "--robustness", "--root", "others"], ["test photos of the run are gone or changed", "--root"]),
        (["mine"], ["is a file of yours and is not written over"]),
        (["damaged"], ["history.json: damaged"]),
        (["RUN", "alone", "--out", "mine/report.html"], ["no page of ours"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_answered_in_a_line(
    args: list[str],
    words: list[str],
    run: Path,
    asked: object,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("alone", "mine", "damaged"):
        if not (place / name).exists():
            shutil.copytree(run, place / name, ignore=shutil.ignore_patterns("checkpoints", "*.onnx", "*.safetensors"))
    (place / "mine/report.html").write_text("<p>my own notes</p>")
    (place / "damaged/history.json").write_text("{")
    before = (run / "report.html").read_bytes()
    monkeypatch.chdir(place)
    assert main(["report", *(str(run) if arg == "RUN" else arg for arg in args)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    for word in words:
        assert word in said
    assert (run / "report.html").read_bytes() == before
    assert (place / "mine/report.html").read_text() == "<p>my own notes</p>"
