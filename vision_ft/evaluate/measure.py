"""An exported model's predictions on the held-out photos, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass

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
        predictions: a row a photo: path, split, label, verdict, one column of probabilities a class, error.
    """

    scores: dict[str, Scores]
    predictions: pl.DataFrame


def measure(predictor: Predictor, manifest: Manifest) -> Measured:
    """Predict the validation and the test photos with an exported model, and score it on each.

    The model that is scored is the one that is handed over: its graph, its engine, its preprocessing.
    """
    scores: dict[str, Scores] = {}
    tables = []
    for split in (VAL, TEST):
        rows = manifest.part(split)
        if not rows.height:
            continue
        predictions = predictor.predict(manifest.paths(rows))
        labels = np.array(manifest.labels(rows), dtype=np.int64)
        read = [index for index, one in enumerate(predictions) if one.probabilities is not None]
        table = np.array([list((predictions[index].probabilities or {}).values()) for index in read], dtype=np.float32)
        if read:
            scores[split] = score(table, labels[read], manifest.classes)
        found = {
            f"probability {name}": [one.probabilities and one.probabilities[name] for one in predictions]
            for name in manifest.classes
        }
        tables.append(
            rows.select("path", "split", "label").with_columns(
                pl.Series("verdict", [one.verdict for one in predictions], dtype=pl.String),
                *(pl.Series(name, values, dtype=pl.Float64) for name, values in found.items()),
                pl.Series("error", [one.error for one in predictions], dtype=pl.String),
            )
        )
    return Measured(scores, pl.concat(tables))
