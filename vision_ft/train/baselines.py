"""What the model said of the validation photos before anything was unfrozen, for the report to hold it against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from vision_ft.train.judging import Scored


@dataclass(frozen=True)
class Baseline:
    """Some weights before unfreezing.

    Attributes:
        scored: how they do, photo by photo.
        probabilities: float64 (photos, classes), on the CPU, NaN for a photo that could not be read; ``None`` where
            only the losses are known.
    """

    scored: Scored
    probabilities: torch.Tensor | None = None


def write_baselines(path: Path, photos: pl.DataFrame, classes: Sequence[str], found: dict[str, Baseline]) -> None:
    """Write a row for each of the weights and each photo that could be read.

    Args:
        path: of the table.
        photos: the rows of the manifest, with path and label, in the order of the figures.
        classes: names in the order of the probabilities.
        found: by the names of the weights.
    """
    tables = []
    for name, one in found.items():
        table = torch.full((photos.height, len(classes)), torch.nan) if one.probabilities is None else one.probabilities
        columns = {f"probability {label}": table[:, number].tolist() for number, label in enumerate(classes)}
        tables.append(
            photos.select(pl.lit(name).alias("weights"), "path", "label")
            .with_columns(
                pl.Series("log_loss", one.scored.losses.tolist(), dtype=pl.Float64),
                pl.Series("right", one.scored.right.tolist(), dtype=pl.Float64),
                *(pl.Series(column, values, dtype=pl.Float64) for column, values in columns.items()),
            )
            .filter(pl.col("right").is_not_nan())
            .with_columns(pl.col("right") == 1, *(pl.col(column).fill_nan(None) for column in columns))
        )
    pl.concat(tables).write_csv(path)
