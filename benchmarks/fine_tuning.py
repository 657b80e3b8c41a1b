"""What unfreezing is worth: ``vision-ft fit`` with a shipped config, by seed, against the head alone at its optimum.

Each seed runs the command as a user does, with that seed for the training and another deal of the photos. The head
alone (``checkpoints/head.ckpt``) and what was handed over are exported and scored alike, on the photos held out.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import vision_ft
from vision_ft.machine import describe
from vision_ft.model.checkpoint import read_checkpoint

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", help="a labelled folder, or drawn:FOLDER")
    parser.add_argument("--config", default="cats_dogs.yaml", help="one of configs/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--deal", type=int, help="the same deal of the photos for all seeds, by this seed")
    parser.add_argument("--out", type=Path, default=Path("runs/fine_tuning"))
    parser.add_argument("--set", default="", help="further settings, as on the command line of fit")
    options = parser.parse_args()
    print(describe(["torch", "timm", "pytorch-lightning", "onnxruntime"]))
    print(f"{options.config} {options.set} on {options.photos}")
    print("| seed | time | handed over | val log-loss: head, handed over | test log-loss | test accuracy |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = []
    for seed in options.seeds:
        rows.append(one_seed(options, seed))
        print(line(rows[-1]), flush=True)
    summary(rows)
    difference(rows)


def one_seed(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    name, deal = f"seed{seed}", seed if options.deal is None else options.deal
    started = time.monotonic()
    command(
        "fit", "--config", CONFIGS / options.config, "--data.root", options.photos, "--run.folder", options.out,
        "--run.name", name, "--seed_everything", seed, "--data.split.seed", deal, *shlex.split(options.set),
    )  # fmt: skip
    seconds = time.monotonic() - started
    run = (options.out / name / "latest").resolve()
    command("export", run / "checkpoints/head.ckpt", "--out", run / "head")
    with (run / "candidates.csv").open() as file:
        (chosen,) = [row["weights"] for row in csv.DictReader(file) if row["handed_over"] == "True"]
    return {
        "right": {name: hits(run, run / name) for name in ("head", "bundle")},
        "seed": seed,
        "seconds": seconds,
        "chosen": chosen,
        "head": scores(run / "head"),
        "fit": scores(run / "bundle"),
    }


def command(*args: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vision_ft", *map(str, args)], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3):
        sys.exit(done.stdout + done.stderr)


def hits(run: Path, bundle: Path) -> npt.NDArray[np.float64]:
    """1 for every test photo that an exported model is right on."""
    root = Path(read_checkpoint(run / "checkpoints/best.ckpt")[0].data["root"])
    with (run / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    found = vision_ft.load(bundle).predict([root / row["path"] for row in rows])
    return np.array([one.label == row["label"] for one, row in zip(found, rows, strict=True)], dtype=np.float64)


def difference(rows: list[dict[str, Any]]) -> None:
    """Of the two models on the same photos, with a bootstrap over all seeds' answers."""
    pairs = np.concatenate([row["right"]["bundle"] - row["right"]["head"] for row in rows])
    rng = np.random.default_rng(0)
    means = [pairs[rng.integers(len(pairs), size=len(pairs))].mean() for _ in range(2000)]
    low, high = np.quantile(means, [0.025, 0.975])
    print(
        f"test accuracy, handed over less head alone, {len(pairs)} answers: {pairs.mean():+.2%} "
        f"(95 % interval {low:+.2%} to {high:+.2%}); right only then {int((pairs > 0).sum())}, "
        f"wrong only then {int((pairs < 0).sum())}"
    )


def scores(bundle: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((bundle / "spec.json").read_text())["metrics"]
    return metrics


def line(row: dict[str, Any]) -> str:
    head, fit = row["head"], row["fit"]
    return (
        f"| {row['seed']} | {row['seconds']:.0f} s | {row['chosen']} "
        f"| {head['val']['log_loss']:.4f}, {fit['val']['log_loss']:.4f} "
        f"| {head['test']['log_loss']:.4f}, {fit['test']['log_loss']:.4f} "
        f"| {head['test']['accuracy']:.2%}, {fit['test']['accuracy']:.2%} |"
    )


def summary(rows: list[dict[str, Any]]) -> None:
    def mean(model: str, part: str, figure: str) -> float:
        return float(np.mean([row[model][part][figure] for row in rows]))

    print(
        f"| mean | {np.mean([row['seconds'] for row in rows]):.0f} s | "
        f"| {mean('head', 'val', 'log_loss'):.4f}, {mean('fit', 'val', 'log_loss'):.4f} "
        f"| {mean('head', 'test', 'log_loss'):.4f}, {mean('fit', 'test', 'log_loss'):.4f} "
        f"| {mean('head', 'test', 'accuracy'):.2%}, {mean('fit', 'test', 'accuracy'):.2%} |"
    )
    worse = [row["seed"] for row in rows if row["fit"]["val"]["log_loss"] > row["head"]["val"]["log_loss"]]
    print(f"validation log-loss above the head's: {len(worse)} of {len(rows)} seeds")


if __name__ == "__main__":
    main()
