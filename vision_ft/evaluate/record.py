"""All figures of a run in one record: ``metrics.json``. Its schema is in ``docs/report.md``.

The page and the terminal are made from it and from saved predictions; nothing is computed twice.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from vision_ft import __version__
from vision_ft.data.listing import SPLITS, VAL
from vision_ft.evaluate.curves import uncalibrated
from vision_ft.evaluate.intervals import bootstrap_mean, wilson
from vision_ft.evaluate.measure import column_of, probabilities_in
from vision_ft.evaluate.metrics import CLIP, auroc_of, score
from vision_ft.evaluate.paired import compare
from vision_ft.evaluate.saved import Part, Saved
from vision_ft.evaluate.verdict import verdict
from vision_ft.runtime.predictor import NEITHER, UNSURE
from vision_ft.scoring import calibration_error, losses_of

SCHEMA = 1
# Files that could not be read are listed up to so many.
_MOST_LISTED = 200
_FIGURES = ("accuracy", "log_loss", "clipped_log_loss", "auroc", "average_precision", "brier", "calibration_error")


def record_of(saved: Saved, suspects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The record of a run.

    Args:
        saved: its files.
        suspects: held-out photos whose labels are likely wrong: path, split, label, looks_like, probability.
    """
    parts = saved.parts()
    spec = saved.spec
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "made": {"by": f"vision-ft {__version__}", "at": datetime.now(UTC).isoformat(timespec="seconds")},
        "run": saved.folder.name,
        "model": {
            "classes": list(spec.classes),
            "backbone": spec.backbone,
            "weights": dataclasses.asdict(spec.weights),
            "input": [spec.preprocessing.framing.height, spec.preprocessing.framing.width],
            "temperature": spec.temperature,
            "calibration": getattr(spec, "calibration", None) or None,
            "thresholds": dataclasses.asdict(spec.thresholds),
            "created": spec.created,
            "versions": spec.versions,
            "files": spec.files,
        },
        "data": _data(saved),
        "parts": {name: _part(part, spec.classes, spec.temperature) for name, part in parts.items()},
        "baselines": _baselines(saved, parts.get(VAL)),
        "training": _training(saved),
        "others": others_of(saved),
        "suspects": list(suspects),
        "robustness": saved.robustness,
        "cost": _cost(saved.history),
        "config": saved.config,
    }
    return {**record, "verdict": verdict(record)}


def _data(saved: Saved) -> dict[str, Any]:
    counts, skipped = {}, []
    if saved.manifest is not None:
        read = saved.manifest.filter(pl.col("problem").is_null())
        for name in saved.spec.classes:
            of_class = read.filter(pl.col("label") == name)
            counts[name] = {split: of_class.filter(pl.col("split") == split).height for split in SPLITS}
        skipped = saved.manifest.filter(pl.col("problem").is_not_null()).select("path", "problem").to_dicts()
    late = saved.predictions.filter(pl.col("error").is_not_null()).select("path", problem="error").to_dicts()
    return {
        **saved.spec.data,
        "classes": counts,
        "skipped": len(skipped) + len(late),
        "skipped_files": [*skipped, *late][:_MOST_LISTED],
    }


def _part(part: Part, classes: Sequence[str], temperature: float) -> dict[str, Any]:
    verdicts = part.table["verdict"]
    pairs = np.stack([part.labels, part.guesses], axis=1)
    cells, counts = np.unique(pairs, axis=0, return_counts=True)
    before = uncalibrated(part.probabilities, temperature)
    given = ~verdicts.is_in([UNSURE, NEITHER]).to_numpy()
    answered = int(given.sum())
    return {
        **score(part.probabilities, part.labels, tuple(classes)).as_record(),
        "confusion": [
            {"label": classes[label], "predicted": classes[guess], "photos": int(count)}
            for (label, guess), count in zip(cells, counts, strict=True)
        ],
        "before_calibration": None
        if temperature == 1
        else {
            "log_loss": float(losses_of(before, part.labels).mean()),
            "calibration_error": calibration_error(before.max(axis=1), part.right),
        },
        "answered": {
            "photos": answered,
            "unsure": int((verdicts == UNSURE).sum()),
            "neither": int((verdicts == NEITHER).sum()),
            "accuracy": float(part.right[given].mean()) if answered else None,
            "accuracy_interval": wilson(int(part.right[given].sum()), answered) if answered else None,
        },
    }


def _baselines(saved: Saved, val: Part | None) -> list[dict[str, Any]]:
    """What was scored before anything was unfrozen, each with how the model does against it on the same photos."""
    if saved.baselines is None or val is None:
        return []
    # These were not calibrated, so what they are held against is not either.
    before = uncalibrated(val.probabilities, saved.spec.temperature)
    ours = val.table.select("path", "label").with_columns(
        right_of_ours=pl.Series(val.right), loss_of_ours=pl.Series(losses_of(before, val.labels))
    )
    found = []
    for name in saved.baselines["weights"].unique(maintain_order=True):
        theirs = saved.baselines.filter(pl.col("weights") == name)
        both = theirs.join(ours, on=["path", "label"])
        if not both.height:
            continue
        right = (both["right"] == "true").to_numpy()
        losses = both["log_loss"].cast(pl.Float64).to_numpy()
        paired = compare(both["right_of_ours"].to_numpy(), right, both["loss_of_ours"].to_numpy(), losses)
        found.append({"name": name, "part": VAL, **_scored(both, saved), "against": paired.as_record()})
    return found


def _scored(table: pl.DataFrame, saved: Saved) -> dict[str, Any]:
    classes = saved.spec.classes
    labels = np.array([classes.index(label) for label in table["label"]], dtype=np.int64)
    if not table[column_of(classes[0])].null_count():
        whole = score(probabilities_in(table, classes), labels, classes).as_record()
        return {"photos": table.height} | {
            name: whole[name] for figure in _FIGURES for name in (figure, f"{figure}_interval") if name in whole
        }
    right = (table["right"] == "true").to_numpy()
    losses = table["log_loss"].cast(pl.Float64).to_numpy()
    clipped = -np.log(np.clip(np.exp(-losses), CLIP, 1 - CLIP))
    return {
        "photos": table.height,
        "accuracy": float(right.mean()),
        "accuracy_interval": wilson(int(right.sum()), len(right)),
        "log_loss": float(losses.mean()),
        "log_loss_interval": bootstrap_mean(losses),
        "clipped_log_loss": float(clipped.mean()),
        "clipped_log_loss_interval": bootstrap_mean(clipped),
    }


def _training(saved: Saved) -> dict[str, Any]:
    """Epochs, all weights that were scored, and which of them is handed over, of what epoch."""
    candidates, chosen = [], None
    if saved.candidates is not None:
        for row in saved.candidates.iter_rows(named=True):
            low, high = (None if row[name] in (None, "") else float(row[name]) for name in ("low", "high"))
            candidates.append(
                {
                    "name": row["weights"],
                    "log_loss": _number(row["log_loss"]),
                    "accuracy": _number(row["accuracy"]),
                    "below_baseline": _number(row["below_baseline"]),
                    "below_baseline_interval": None if low is None or high is None else [low, high],
                }
            )
            if row["handed_over"] == "True":
                chosen = row["weights"]
    named = re.findall(r"epoch (\d+)", chosen or "")
    return {
        "epochs": [] if saved.history is None else saved.history.get("epochs", []),
        "candidates": candidates,
        "handed_over": chosen,
        "handed_over_epoch": int(named[-1]) if named else (0 if chosen else None),
    }


def _number(text: str | None) -> float | None:
    value = float(text) if text not in (None, "") else float("nan")
    return value if np.isfinite(value) else None


def others_of(saved: Saved) -> dict[str, Any] | None:
    """What is said of pictures of none of the classes: the fewer are answered with a class, the better."""
    if saved.others is None:
        return None
    read = saved.others.filter(pl.col("error").is_null())
    if not read.height:
        return None
    verdicts = read["verdict"]
    refused = int(verdicts.is_in([UNSURE, NEITHER]).sum())
    table = probabilities_in(read, saved.spec.classes)
    novelty = read["novelty"]
    ours = saved.held_out().table["novelty"]
    apart = None
    if not novelty.null_count() and not ours.null_count() and len(ours):
        values = np.concatenate([ours.to_numpy(), novelty.to_numpy()]).astype(np.float32)
        truth = np.concatenate([np.zeros(len(ours), np.int64), np.ones(len(novelty), np.int64)])
        apart = auroc_of(np.stack([-values, values], axis=1), truth)
    return {
        "folder": str(read["folder"][0]) if "folder" in read.columns else "",
        "photos": read.height,
        "refused": refused,
        "refused_interval": wilson(refused, read.height),
        "unsure": int((verdicts == UNSURE).sum()),
        "neither": int((verdicts == NEITHER).sum()),
        "surer_than_90": int((table.max(axis=1) >= 0.9).sum()),
        "novelty_auroc": apart,
    }


def _cost(history: dict[str, Any] | None) -> dict[str, Any] | None:
    if history is None:
        return None
    known = {name: history.get(name) for name in ("seconds", "head_seconds", "device", "devices", "precision")}
    epochs = history.get("epochs", [])
    seconds, photos = sum(one["seconds"] for one in epochs), sum(one["photos"] for one in epochs)
    predicted = history.get("predicted") or {}
    return {
        **known,
        "command_seconds": history.get("command_seconds"),
        "training_images_a_second": photos / seconds if seconds else None,
        "predicting_images_a_second": predicted["photos"] / predicted["seconds"] if predicted.get("seconds") else None,
        "memory": history.get("memory"),
        "device_memory": history.get("device_memory"),
    }
