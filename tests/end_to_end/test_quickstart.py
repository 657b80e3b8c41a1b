"""The README's main job, as a user runs it, and everything that can be done with what it leaves behind."""

from __future__ import annotations

import csv
import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import vision_ft
from tests.conftest import REPOSITORY, Command, environment, fails_with, lines
from vision_ft.evaluate.curves import uncalibrated
from vision_ft.model.checkpoint import read_checkpoint

CONFIG = REPOSITORY / "configs" / "quickstart.yaml"


@pytest.fixture(scope="module")
def quickstart(place: Path, command: Command) -> subprocess.CompletedProcess[str]:
    return command("fit", "--config", CONFIG, cwd=place)


@pytest.fixture(scope="module")
def run(place: Path, quickstart: object) -> Path:
    return place / "runs" / "quickstart" / "latest"


def predictions(run: Path, part: str) -> list[dict[str, str]]:
    with (run / "predictions.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["split"] == part]


def test_it_says_what_it_does_and_what_to_do_next(
    quickstart: subprocess.CompletedProcess[str], run: Path, place: Path, command: Command
) -> None:
    assert "practice drawings, no photos" in quickstart.stderr
    assert "800 photos of 2 classes (cat, dog): 560 train, 120 val, 120 test" in quickstart.stderr
    assert "Traceback" not in quickstart.stderr
    assert "Warning" not in quickstart.stderr
    assert "test" in quickstart.stdout
    (hint,) = [line for line in lines(quickstart) if line.startswith("next: vision-ft ")]
    done = command(*hint.removeprefix("next: vision-ft ").split(), cwd=place)
    assert json.loads(done.stdout)["label"] in ("cat", "dog")


def test_training_ends_within_two_minutes(run: Path) -> None:
    events = sorted(run.resolve().glob("events.out.tfevents.*"))
    started = (run / "config.yaml").stat().st_mtime
    assert (run / "bundle" / "spec.json").stat().st_mtime - started < 120
    assert events


def test_the_drawings_are_learnt(run: Path) -> None:
    """The head before training gives every class the same; the trained model is clearly above chance."""
    rows = predictions(run, "test")
    right = sum((float(row["probability dog"]) > 0.5) == (row["label"] == "dog") for row in rows)
    assert len(rows) == 120
    # Twenty standard deviations of guessing are 0.9; 0.8 is 6.6 of them.
    assert right / len(rows) > 0.8


def test_the_run_folder_holds_what_it_should(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {
        "config.yaml",
        "metrics.csv",
        "checkpoints",
        "bundle",
        "manifest.csv",
        "predictions.csv",
        "candidates.csv",
    } <= names
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "head.ckpt"}
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"epoch", "train/loss", "val/loss", "val/accuracy"} <= set(rows[0])
    assert len([row for row in rows if row["val/loss"]]) == 3


def candidates(run: Path) -> list[dict[str, str]]:
    with (run / "candidates.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_best_weights_are_what_is_handed_over(quickstart: subprocess.CompletedProcess[str], run: Path) -> None:
    rows = candidates(run)
    names = [row["weights"] for row in rows]
    assert names[:6] == ["pretrained head", "head alone", "epoch 1", "epoch 2", "epoch 3", "average at epoch 3"]
    assert [name.partition(" of the way")[0] for name in names[6:]] == ["25%", "50%", "75%"]
    best = min(rows[1:], key=lambda row: float(row["log_loss"]))
    assert [row["weights"] for row in rows if row["handed_over"] == "True"] == [best["weights"]]
    assert f"handed over: {best['weights']}: val loss {float(best['log_loss']):.4f}" in quickstart.stderr
    assert f"{float(best['below_baseline']):.4f} below the head alone" in quickstart.stderr
    assert float(best["low"]) <= float(best["below_baseline"]) <= float(best["high"])
    spec = vision_ft.load(run / "bundle").spec
    # What was scored while training is what the exported model does, but for its temperature.
    assert spec.calibration["log_loss_before"] == pytest.approx(float(best["log_loss"]), abs=1e-3)
    assert spec.metrics["val"]["log_loss"] == pytest.approx(spec.calibration["log_loss_after"], abs=1e-5)
    assert spec.calibration["log_loss_after"] <= spec.calibration["log_loss_before"]
    assert spec.metrics["val"]["accuracy"] == pytest.approx(float(best["accuracy"]), abs=1e-6)
    with (run / "metrics.csv").open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    assert losses == pytest.approx([float(row["log_loss"]) for row in rows[2:5]], abs=1e-5)
    assert spec.metrics["test"]["photos"] == 120
    low, high = spec.metrics["test"]["accuracy_interval"]
    assert low < spec.metrics["test"]["accuracy"] < high


def test_the_written_predictions_are_the_models(run: Path, place: Path) -> None:
    rows = predictions(run, "val")[:20]
    found = vision_ft.load(run / "bundle").predict([place / "data" / "practice" / row["path"] for row in rows])
    for row, one in zip(rows, found, strict=True):
        assert (one.probabilities or {})["cat"] == pytest.approx(float(row["probability cat"]), abs=1e-5)


def test_the_resolved_settings_repeat_the_run(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["seed_everything"] == 0
    assert config["model"]["weights"] == "builtin:"
    assert config["data"]["root"] == "drawn:data/practice"
    assert [phase["epochs"] for phase in config["unfreeze"]["phases"]] == [3]


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "timm", "pytorch_lightning", "albumentations", "polars",
                                  "safetensors", "onnx", "jsonargparse", "torchmetrics", "sklearn", "scipy", "cv2"}:
            raise ImportError(f"{name} is blocked in this test")
sys.meta_path.insert(0, Block())
"""


def test_predicting_needs_no_torch(run: Path, place: Path) -> None:
    code = BLOCK + (
        "import json\n"
        "import vision_ft\n"
        "from vision_ft.cli import main\n"
        f"model = vision_ft.load({str(run / 'bundle')!r})\n"
        f"one, = model.predict([{str(place / 'data/practice/cat/cat.0.jpg')!r}])\n"
        "print(json.dumps(one.label))\n"
        f"sys.exit(main(['predict', {str(run / 'bundle')!r}, {str(place / 'data/practice')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, *rows = lines(done)
    assert json.loads(label) in ("cat", "dog")
    assert len(rows) == 800
    first = json.loads(rows[0])
    assert set(first) == {"path", "verdict", "label", "confidence", "probabilities", "novelty", "error"}
    assert math.isclose(sum(first["probabilities"].values()), 1, abs_tol=1e-5)
    found = [(json.loads(row), Path(json.loads(row)["path"]).parent.name) for row in rows]
    assert sum(row["label"] == kind for row, kind in found) > 640
    # What it does not answer is right less often.
    answered = [row["label"] == kind for row, kind in found if row["verdict"] not in ("unsure", "neither")]
    assert len(rows) / 2 < len(answered) < len(rows)
    assert sum(answered) / len(answered) > sum(row["label"] == kind for row, kind in found) / len(rows)


def test_predict_reads_a_list_and_names_what_it_cannot_read(run: Path, place: Path, command: Command) -> None:
    (place / "broken.jpg").write_bytes(b"x")
    listed = f"{place}/data/practice/dog/dog.1.jpg\n{place}/broken.jpg\nnot there.jpg\n"
    done = command("predict", run / "bundle", "-", cwd=place, stdin=listed, code=3)
    rows = [json.loads(line) for line in lines(done)]
    assert [row["error"] is None for row in rows] == [True, False, False]
    assert all(value is None for key, value in rows[1].items() if key not in ("path", "error"))
    assert [row["path"] for row in rows] == listed.splitlines()


def test_predict_shows_a_table_when_asked(run: Path, place: Path, command: Command) -> None:
    done = command("predict", run / "bundle", "data/practice/dog/dog.1.jpg", "--format", "table", cwd=place)
    assert "dog.1.jpg" in done.stdout
    assert "%" in done.stdout


def test_test_and_validate_score_the_best_checkpoint(run: Path, place: Path, command: Command) -> None:
    spec = vision_ft.load(run / "bundle").spec
    for verb, part in (("test", "test"), ("validate", "val")):
        done = command(verb, "--config", run / "config.yaml", "--ckpt_path", run / "checkpoints/best.ckpt", cwd=place)
        shown = {
            words[0]: words[1] for words in (line.replace("│", " ").split() for line in lines(done)) if len(words) == 2
        }
        assert float(shown[f"{part}/accuracy"]) == pytest.approx(spec.metrics[part]["accuracy"], abs=1e-3)
        # A checkpoint has no temperature.
        rows = predictions(run, part)
        cooled = np.array([[float(row[f"probability {name}"]) for name in spec.classes] for row in rows])
        plain = uncalibrated(cooled, spec.temperature)
        of_label = [row[spec.classes.index(one["label"])] for row, one in zip(plain, rows, strict=True)]
        assert float(shown[f"{part}/loss"]) == pytest.approx(-np.log(of_label).mean(), abs=1e-3)
    assert len(list((place / "runs" / "quickstart").iterdir())) == 2, "scoring makes no run"


def test_a_checkpoint_of_other_settings_is_refused(run: Path, place: Path, command: Command) -> None:
    best = run / "checkpoints/best.ckpt"
    done = command("test", "--data.root", "data/practice", "--ckpt_path", best, cwd=place, code=None)
    fails_with(done, "preprocessing is", "config.yaml")


def test_export_again_from_the_run(run: Path, place: Path, command: Command) -> None:
    before = (run / "bundle" / "spec.json").read_text()
    done = command("export", run, cwd=place)
    assert f"replaced the bundle {run / 'bundle'}" in done.stdout.replace("\n", "")
    first, second = json.loads(before), json.loads((run / "bundle" / "spec.json").read_text())
    assert second["files"]["weights.safetensors"] == first["files"]["weights.safetensors"]
    assert second["metrics"] == first["metrics"]


def test_export_from_a_checkpoint_into_another_place(run: Path, place: Path, command: Command) -> None:
    command("export", run / "checkpoints" / "last.ckpt", "--out", "elsewhere", cwd=place)
    assert vision_ft.load(place / "elsewhere").spec.classes == ("cat", "dog")


def test_a_bundle_is_gone_on_from(run: Path, place: Path, command: Command) -> None:
    """One epoch from our own bundle starts where the last run ended, not from scratch."""
    command(
        "fit", "--config", CONFIG, "--run.name", "second", "--model.weights", f"bundle:{run / 'bundle'}",
        "--unfreeze.phases", "[{epochs: 1, stages: [head], lr: 1.0e-6}]", cwd=place,
    )  # fmt: skip
    first, second = (
        vision_ft.load(place / "runs" / name / "latest" / "bundle").spec for name in ("quickstart", "second")
    )
    # Its head begins where the other's ended, and everything since had to be better.
    before = first.calibration["log_loss_before"]
    assert second.calibration["log_loss_before"] <= before + 1e-4
    rows = candidates(place / "runs/second/latest")
    assert rows[0]["weights"] == "pretrained head"
    assert float(rows[0]["log_loss"]) == pytest.approx(before, abs=1e-3)
    assert second.weights.source.startswith("bundle:")


def small(place: Path, name: str) -> list[str]:
    """A run of seconds: 40 pixels, 80 drawings, four epochs that cross an unfreeze."""
    data = place / "small"
    for kind in ("cat", "dog"):
        if not (data / kind).exists():
            (data / kind).mkdir(parents=True)
            for index in range(40):
                shutil.copy(place / f"data/practice/{kind}/{kind}.{index}.jpg", data / kind)
    phases = "[{epochs: 2, stages: 1, lr: 0.01}, {epochs: 2, stages: 3, lr: 0.001, warmup: 0.2}]"
    return [
        "fit", "--config", str(CONFIG), "--data.root", str(data), "--model.image_size", "40", "--data.batch_size", "8",
        "--run.name", name, "--unfreeze.phases", phases, "--trainer.accelerator", "cpu",
    ]  # fmt: skip


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)[1]


def test_a_run_that_was_cut_short_goes_on_where_it_unfreezes(run: Path, place: Path, command: Command) -> None:
    """After the second of four epochs. What is cut off in the middle of one is in ``test_resume.py``."""
    part = "part"
    command(*small(place, "whole"), cwd=place)
    command(*small(place, part), "--trainer.max_epochs", "2", cwd=place)
    resumed = place / "runs" / part / "latest"
    resumed_from = resumed.resolve()
    done = command(*small(place, part), "--ckpt_path", resumed / "checkpoints/last.ckpt", cwd=place)
    assert "Warning" not in done.stderr
    assert "warn" not in done.stderr
    assert resumed.resolve() != resumed_from, "the resumed run has a folder of its own"
    for name in ("last.ckpt", "best.ckpt"):
        whole, again = (tensors(place / f"runs/{run}/latest/checkpoints/{name}") for run in ("whole", part))
        assert whole.keys() == again.keys()
        assert all(torch.equal(whole[key], again[key]) for key in whole), name
    # The weights came from the checkpoint, where they came from first is still known.
    assert vision_ft.load(resumed / "bundle").spec.weights.source == "builtin:"
    assert yaml.safe_load((resumed / "config.yaml").read_text())["model"]["weights"] == "builtin:"


def test_a_run_is_not_resumed_on_other_photos(run: Path, place: Path, command: Command) -> None:
    command(*small(place, "other"), "--trainer.max_epochs", "1", cwd=place)
    shutil.copytree(place / "small", place / "changed")
    (place / "changed/cat/cat.0.jpg").unlink()
    args = [str(place / "changed") if arg == str(place / "small") else arg for arg in small(place, "other")]
    before = (place / "runs/other/latest").resolve()
    done = command(*args, "--ckpt_path", "runs/other/latest/checkpoints/last.ckpt", cwd=place, code=None)
    fails_with(done, "changed since that checkpoint was written", "bundle:PATH")
    assert (place / "runs/other/latest").resolve() == before


def test_two_runs_of_one_seed_are_the_same_bit_for_bit(run: Path, place: Path, command: Command) -> None:
    for name, seed in (("twin", "5"), ("twin2", "5"), ("stranger", "6")):
        command(*small(place, name), "--trainer.max_epochs", "1", "--seed_everything", seed, cwd=place)
    first, second, other = (
        tensors(place / f"runs/{name}/latest/checkpoints/last.ckpt") for name in ("twin", "twin2", "stranger")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_broken_photos_are_listed_and_the_run_ends_with_three(run: Path, place: Path, command: Command) -> None:
    small(place, "")
    shutil.copytree(place / "small", place / "with broken")
    (place / "with broken/dog/cut.jpg").write_bytes((place / "small/dog/dog.0.jpg").read_bytes()[:500])
    args = [str(place / "with broken") if arg == str(place / "small") else arg for arg in small(place, "broken")]
    done = command(*args, "--trainer.max_epochs", "1", cwd=place, code=3)
    assert "1 cannot be read and is left out:" in done.stderr
    assert "dog/cut.jpg: " in done.stderr
    with (place / "runs/broken/latest/manifest.csv").open() as file:
        problems = {row["path"]: row["problem"] for row in csv.DictReader(file) if row["problem"]}
    assert list(problems) == ["dog/cut.jpg"]
    done = command(*args, "--data.max_unreadable", "0.01", cwd=place, code=None)
    fails_with(done, "1 of 81 photos cannot be read", "dog/cut.jpg")


def test_nothing_is_handed_over_that_is_no_model(run: Path, place: Path, command: Command) -> None:
    args = ["--unfreeze.fit_head", "false", "--model.head_start", "zero"]
    ruin = ["--unfreeze.phases", "[{epochs: 1, stages: all, lr: 1.0e+30}]"]
    done = command(*small(place, "nothing"), *args, *ruin, cwd=place, code=None)
    fails_with(done, "the training diverged")
    assert not (place / "runs/nothing/latest/bundle").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["--unfreeze.phases", "[{epochs: 1, stages: all, lr: 1.0e+30}]"],
        ["--unfreeze.phases", "[]"],
    ],
    ids=["diverged", "head alone"],
)
def test_the_head_alone_is_handed_over_where_unfreezing_does_no_good(
    args: list[str], run: Path, place: Path, command: Command
) -> None:
    done = command(*small(place, "ruined"), *args, cwd=place)
    folder = place / "runs/ruined/latest"
    assert "handed over: head alone: " in done.stderr
    (head,) = [row for row in candidates(folder) if row["handed_over"] == "True"]
    assert head["weights"] == "head alone"
    best, alone = (tensors(folder / "checkpoints" / name) for name in ("best.ckpt", "head.ckpt"))
    assert all(torch.equal(best[key], alone[key]) for key in best if key.startswith("network."))
    spec = vision_ft.load(folder / "bundle").spec
    assert spec.metrics["val"]["log_loss"] == pytest.approx(float(head["log_loss"]), abs=1e-3)


def test_weights_are_judged_on_all_photos_also_where_lightning_sees_a_part(
    run: Path, place: Path, command: Command
) -> None:
    command(*small(place, "part of val"), "--trainer.limit_val_batches", "0", "--trainer.max_epochs", "1", cwd=place)
    spec = vision_ft.load(place / "runs/part of val/latest/bundle").spec
    rows = candidates(place / "runs/part of val/latest")
    assert spec.metrics["val"]["log_loss"] == pytest.approx(min(float(row["log_loss"]) for row in rows[1:]), abs=1e-3)


def test_a_moved_run_is_resumed_with_its_best_and_exported_with_its_figures(
    run: Path, place: Path, command: Command
) -> None:
    """Photos and run are both moved; a photo that could not be read is thrown away, as one would."""
    before = place / "before [1]"
    small(place, "")
    shutil.copytree(place / "small", before / "photos")
    (before / "photos/dog/cut.jpg").write_bytes(b"x")
    args = [str(before / "photos") if arg == str(place / "small") else arg for arg in small(place, "moved")]
    command(*args, "--run.folder", before / "runs", "--trainer.max_epochs", "2", cwd=place, code=3)
    moved = place / "after [2]"
    before.rename(moved)
    last = moved / "runs/moved/latest/checkpoints/last.ckpt"
    score = read_best_score(last.with_name("best.ckpt"))
    (moved / "photos/dog/cut.jpg").unlink()
    done = command("export", moved / "runs/moved/latest", "--root", moved / "photos", cwd=place)
    assert "no figures" not in done.stderr
    assert vision_ft.load(moved / "runs/moved/latest/bundle").spec.metrics["val"]["photos"] == 12
    # At a rate that ruins it no epoch is better: the best of the run before must be what is handed over.
    args = [str(moved / "photos") if arg == str(before / "photos") else arg for arg in args]
    phases = ["--unfreeze.phases", "[{epochs: 3, stages: all, lr: 1.0}]"]
    command(*args, "--run.folder", moved / "runs", "--ckpt_path", last, *phases, cwd=place)
    spec = vision_ft.load(moved / "runs/moved/latest/bundle").spec
    assert spec.metrics["val"]["log_loss"] == pytest.approx(score, abs=1e-3)
    # Photos that changed since are not measured on, and that is said.
    (moved / "photos/cat/cat.0.jpg").unlink()
    (moved / "photos/dog/dog.0.jpg").unlink()
    for path in (moved / "photos").rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + b" ")
    done = command("export", moved / "runs/moved/latest", "--photos", moved / "photos", cwd=place)
    assert "no figures: 24 of the 24 held-out photos" in done.stderr.replace("\n", "")


def read_best_score(checkpoint: Path) -> float:
    return float(read_checkpoint(checkpoint)[0].chosen["log_loss"])


def test_a_table_whose_reader_goes_away_is_no_error(run: Path, place: Path) -> None:
    script = (
        f'"{sys.executable}" -m vision_ft predict "{run / "bundle"}" data/practice --format table | true; '
        "exit ${PIPESTATUS[0]}"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_with_130(run: Path, place: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vision_ft", *small(place, "stopped"), "--trainer.max_epochs", "500"],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(place.glob("runs/stopped/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "interrupted" in errors
