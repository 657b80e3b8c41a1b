"""An exported model's predictions on the held-out photos, and what they are worth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from vision_ft.data.listing import TEST, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.evaluate.metrics import Scores, score
from vision_ft.runtime.predictor import Predictor


@dataclass(frozen=True)
class Measured:
    """What :func:`measure` gives.

    Attributes:
        scores: of each part that has photos.
        predictions: a row a photo: path, split, label, verdict, novelty, one column of probabilities a class, error.
        seconds: that predicting them took, reading included.
    """

    scores: dict[str, Scores]
    predictions: pl.DataFrame
    seconds: float


def measure(predictor: Predictor, manifest: Manifest) -> Measured:
    """Predict the validation and the test photos with an exported model, and score it on each.

    The model that is scored is the one that is handed over: its graph, its engine, its preprocessing.
    """
    scores: dict[str, Scores] = {}
    tables = []
    started = time.monotonic()
    for split in (VAL, TEST):
        rows = manifest.part(split)
        if not rows.height:
            continue
        said = predictions_of(predictor, manifest.paths(rows))
        labels = np.array(manifest.labels(rows), dtype=np.int64)
        read = said["error"].is_null().to_numpy()
        if read.any():
            scores[split] = score(probabilities_in(said, manifest.classes)[read], labels[read], manifest.classes)
        tables.append(pl.concat([rows.select("path", "split", "label"), said], how="horizontal"))
    return Measured(scores, pl.concat(tables), time.monotonic() - started)


def predictions_of(predictor: Predictor, photos: Sequence[Path]) -> pl.DataFrame:
    """What a model says of photos, in their order: verdict, novelty, a column of probabilities a class, error."""
    said = predictor.predict(photos)
    shares = {
        column_of(name): [one.probabilities and one.probabilities[name] for one in said]
        for name in predictor.spec.classes
    }
    return pl.DataFrame(
        [
            pl.Series("verdict", [one.verdict for one in said], dtype=pl.String),
            pl.Series("novelty", [one.novelty for one in said], dtype=pl.Float64),
            *(pl.Series(name, values, dtype=pl.Float64) for name, values in shares.items()),
            pl.Series("error", [one.error for one in said], dtype=pl.String),
        ]
    )


def column_of(name: str) -> str:
    """The column of a class's probabilities."""
    return f"probability {name}"


def probabilities_in(table: pl.DataFrame, classes: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The probabilities in a table, float32 (photos, classes); NaN for photos that could not be read."""
    columns = [table[column_of(name)].cast(pl.Float32).to_numpy() for name in classes]
    return np.stack(columns, axis=1).astype(np.float32)
