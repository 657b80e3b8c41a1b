"""The schema of ``metrics.json``, as ``docs/report.md`` tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

# A number; a whole number; a text; an interval (low, high); or, of those, ``None`` as well.
NUMBER, WHOLE, TEXT, INTERVAL = "number", "whole", "text", "interval"


@dataclass(frozen=True)
class Maybe:
    """May be null."""

    kind: Any


@dataclass(frozen=True)
class Each:
    """An object with keys of its own, each of the kind."""

    kind: Any


SHARES = Each(Maybe(NUMBER))
PART = {
    "photos": WHOLE,
    **{
        key: kind
        for name in ("accuracy", "log_loss", "clipped_log_loss", "brier", "calibration_error")
        for key, kind in ((name, NUMBER), (f"{name}_interval", INTERVAL))
    },
    "auroc": Maybe(NUMBER),
    "auroc_interval": Maybe(INTERVAL),
    "average_precision": Maybe(NUMBER),
    "recall": SHARES,
    "recall_interval": Each(Maybe(INTERVAL)),
    "precision": SHARES,
    "precision_interval": Each(Maybe(INTERVAL)),
    "confusion": [{"label": TEXT, "predicted": TEXT, "photos": WHOLE}],
    "before_calibration": Maybe({"log_loss": NUMBER, "calibration_error": NUMBER}),
    "answered": {
        "photos": WHOLE, "unsure": WHOLE, "neither": WHOLE, "accuracy": Maybe(NUMBER),
        "accuracy_interval": Maybe(INTERVAL),
    },
}  # fmt: skip
PAIRED = {
    "photos": WHOLE, "both_right": WHOLE, "only_first": WHOLE, "only_second": WHOLE, "both_wrong": WHOLE,
    "accuracy_gain": NUMBER, "accuracy_gain_interval": INTERVAL, "p_value": NUMBER, "log_loss_gain": NUMBER,
    "log_loss_gain_interval": INTERVAL, "accuracy_verdict": TEXT, "log_loss_verdict": TEXT,
}  # fmt: skip
BASELINE = {
    "name": TEXT,
    "part": TEXT,
    **{
        name: kind
        for name, kind in PART.items()
        if name.partition("_interval")[0]
        in (
            "photos",
            "accuracy",
            "log_loss",
            "clipped_log_loss",
            "brier",
            "calibration_error",
            "auroc",
            "average_precision",
        )
    },
    "against": PAIRED,
}
STRENGTH = {"strength": TEXT, "accuracy": NUMBER, "accuracy_interval": INTERVAL}
SCHEMA = {
    "schema": WHOLE,
    "made": {"by": TEXT, "at": TEXT},
    "run": TEXT,
    "model": {
        "classes": [TEXT], "backbone": TEXT, "weights": Each(None), "input": [WHOLE], "temperature": NUMBER,
        "calibration": Maybe(Each(None)), "thresholds": {"unsure": Maybe(NUMBER), "neither": Maybe(NUMBER)},
        "created": TEXT, "versions": Each(TEXT), "files": Each(TEXT),
    },
    "data": {
        "fingerprint": TEXT, "photos": Each(WHOLE), "classes": Each(Each(WHOLE)), "skipped": WHOLE,
        "skipped_files": [{"path": TEXT, "problem": TEXT}],
    },
    "parts": Each(PART),
    "baselines": [BASELINE],
    "training": {
        "epochs": [
            {
                "epoch": WHOLE, "phase": WHOLE, "stages": [TEXT], "lr": Maybe(NUMBER), "train_loss": Maybe(NUMBER),
                "train_accuracy": Maybe(NUMBER), "val_loss": Maybe(NUMBER), "val_accuracy": Maybe(NUMBER),
                "seconds": NUMBER, "photos": WHOLE,
            }
        ],
        "candidates": [
            {
                "name": TEXT, "log_loss": Maybe(NUMBER), "accuracy": Maybe(NUMBER), "below_baseline": Maybe(NUMBER),
                "below_baseline_interval": Maybe(INTERVAL),
            }
        ],
        "handed_over": Maybe(TEXT),
        "handed_over_epoch": Maybe(WHOLE),
    },
    "others": Maybe(
        {
            "folder": TEXT, "photos": WHOLE, "refused": WHOLE, "refused_interval": INTERVAL, "unsure": WHOLE,
            "neither": WHOLE, "surer_than_90": WHOLE, "novelty_auroc": Maybe(NUMBER),
        }
    ),
    "suspects": [{"path": TEXT, "split": TEXT, "label": TEXT, "looks_like": TEXT, "probability": NUMBER}],
    "robustness": Maybe(
        {
            "part": TEXT, "photos": WHOLE, "seconds": NUMBER,
            "clean": {"accuracy": NUMBER, "accuracy_interval": INTERVAL},
            "kinds": [{"name": TEXT, "title": TEXT, "strengths": [STRENGTH]}],
        }
    ),
    "cost": Maybe(
        {
            "seconds": Maybe(NUMBER), "head_seconds": Maybe(NUMBER), "command_seconds": Maybe(NUMBER),
            "device": Maybe(TEXT), "devices": Maybe(WHOLE), "precision": Maybe(TEXT),
            "training_images_a_second": Maybe(NUMBER), "predicting_images_a_second": Maybe(NUMBER),
            "memory": Maybe(WHOLE), "device_memory": Maybe(WHOLE),
        }
    ),
    "config": Maybe(TEXT),
    "verdict": TEXT,
}  # fmt: skip


def check(record: Any, kind: Any = SCHEMA, where: str = "metrics.json") -> None:
    """Fail where a record is not as the schema says: a key too many or too few, or a value of another kind."""
    if kind is None or (isinstance(kind, Maybe) and record is None):
        return
    if isinstance(kind, Maybe):
        kind = kind.kind
    if isinstance(kind, Each):
        assert isinstance(record, dict), where
        for name, value in record.items():
            check(value, kind.kind, f"{where}.{name}")
    elif isinstance(kind, dict):
        assert isinstance(record, dict), where
        assert set(record) == set(kind), f"{where}: {set(record) ^ set(kind)}"
        for name, one in kind.items():
            check(record[name], one, f"{where}.{name}")
    elif isinstance(kind, list):
        assert isinstance(record, list), where
        for number, value in enumerate(record):
            check(value, kind[0], f"{where}[{number}]")
    elif kind == INTERVAL:
        low, high = record
        assert math.isfinite(low), where
        assert low <= high, where
    elif kind == NUMBER:
        assert type(record) in (int, float), f"{where}: {record!r}"
        assert math.isfinite(record), where
    else:
        assert type(record) is {WHOLE: int, TEXT: str}[kind], f"{where}: {record!r}"
