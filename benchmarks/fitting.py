"""What paying once for a frozen layer is worth: whole commands, from typing them to the finished bundle.

``vision-ft fit`` with ``configs/cats_dogs.yaml`` against a plain PyTorch and Lightning run of the same schedule
(``plain_fit.py``): the same photos, deal, views, weights, head and rates; eager float32, every step through the whole
network, nothing kept, one process reading. Then ``configs/head_only.yaml`` with nothing known, and with another setting
of the head when everything is. Then the epochs of the top two stages over the same views, ours and the plain way.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vision_ft.machine import describe

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
# Of configs/cats_dogs.yaml, and the top two stages alone.
SHIPPED = {"epochs": 3, "stages": 4}
TOP = {"epochs": 3, "stages": 3}
RATES = {"lr": 2.0e-4, "layer_decay": 0.7, "warmup": 0.1, "final_lr": 0.02}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="a labelled folder")
    parser.add_argument("--rounds", type=int, default=1, help="of everything, in turn; medians are printed")
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain is not None:
        from plain_fit import run

        run(options.photos, {**json.loads(options.plain), **RATES})
        return
    print(describe(["torch", "timm", "pytorch-lightning", "onnxruntime"]))
    rounds = [one_round(options.photos) for _ in range(options.rounds)]
    print("| | seconds | test log-loss | test accuracy |\n| --- | --- | --- | --- |")
    for name in ("plain", "fit", "head", "again"):
        seconds = statistics.median(one[name]["seconds"] for one in rounds)
        loss, accuracy = (rounds[0][name][figure] for figure in ("log_loss", "accuracy"))
        print(f"| {NAMES[name]} | {seconds:.0f} | {loss:.4f} | {accuracy:.2%} |")
    faster = statistics.median(one["plain"]["seconds"] / one["fit"]["seconds"] for one in rounds)
    epochs = statistics.median(one["plain_epoch"] / one["top_epoch"] for one in rounds)
    print(f"fit is {faster:.1f} times as fast as the plain run")
    print(
        f"an epoch of the top two stages: {rounds[0]['plain_epoch']:.1f} s the plain way, "
        f"{rounds[0]['top_epoch']:.1f} s from the boundary ({epochs:.1f} times as fast)"
    )


NAMES = {
    "plain": "plain PyTorch and Lightning",
    "fit": "vision-ft fit --config configs/cats_dogs.yaml",
    "head": "vision-ft fit --config configs/head_only.yaml, nothing known",
    "again": "the same with --model.label_smoothing 0.05, everything known",
}


def one_round(photos: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VISION_FT_CACHE"] = str(Path(folder) / "cache")
        found: dict[str, Any] = {"plain": plain(photos, SHIPPED), "plain_epoch": plain(photos, TOP)["epoch"]}
        for name, config, more in (
            ("fit", "cats_dogs.yaml", ["--cache.clear"]),
            ("head", "head_only.yaml", ["--cache.clear"]),
            ("again", "head_only.yaml", ["--model.label_smoothing", "0.05"]),
        ):
            found[name] = fit(photos, Path(folder), config, *more)
        phases = json.dumps([{**TOP, **RATES}])
        top = fit(photos, Path(folder), "cats_dogs.yaml", "--unfreeze.phases", phases, "--data.views", "1")
        # The first epoch is the one that pays for the others.
        found["top_epoch"] = statistics.mean(top["epochs"][1:])
        return found


def fit(photos: Path, folder: Path, config: str, *more: str) -> dict[str, Any]:
    args = ["--config", CONFIGS / config, "--data.root", photos, "--run.folder", folder, "--run.name", "run", *more]
    seconds, said = timed("-m", "vision_ft", "fit", *args)
    metrics = json.loads((folder / "run/latest/bundle/spec.json").read_text())["metrics"]["test"]
    epochs = [float(found) for found in re.findall(r"epoch \d+/\d+.*\((\d+) s\)", said)]
    return {"seconds": seconds, "epochs": epochs, "log_loss": metrics["log_loss"], "accuracy": metrics["accuracy"]}


def plain(photos: Path, phase: dict[str, int]) -> dict[str, Any]:
    seconds, said = timed(__file__, photos, "--plain", json.dumps(phase))
    figures: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return {"seconds": seconds, **figures}


def timed(*args: object) -> tuple[float, str]:
    """Seconds of a whole process, and what it said."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - started, done.stderr + done.stdout


if __name__ == "__main__":
    main()
