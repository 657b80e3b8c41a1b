"""What a run has saved: all that its report is drawn from, without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from vision_ft.data.listing import TEST, VAL
from vision_ft.data.manifest import read_frame
from vision_ft.errors import BundleError, DataError
from vision_ft.evaluate.measure import column_of, probabilities_in
from vision_ft.evaluate.metrics import Probabilities
from vision_ft.run_folder import RunFolder
from vision_ft.scoring import Labels
from vision_ft.spec import SPEC_FILE, ModelSpec

PARTS = (VAL, TEST)


@dataclass(frozen=True)
class Part:
    """Held-out photos that could be read, and what the model said of them.

    Attributes:
        table: path, split, label, verdict, novelty and the probabilities.
        probabilities: float32 (photos, classes).
        labels: (photos,), class numbers.
    """

    table: pl.DataFrame
    probabilities: Probabilities
    labels: Labels

    @classmethod
    def of(cls, table: pl.DataFrame, classes: Sequence[str]) -> Self:
        """Of rows of predictions; those that could not be read are left out."""
        read = table.filter(pl.col("error").is_null())
        number = {name: index for index, name in enumerate(classes)}
        labels = np.array([number[label] for label in read["label"]], dtype=np.int64)
        return cls(read, probabilities_in(read, classes), labels)

    @property
    def guesses(self) -> Labels:
        """The most probable class of each."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether that is the label's."""
        return np.asarray(self.guesses == self.labels)


@dataclass(frozen=True)
class Saved:
    """The files of a run, read; ``None`` for those that it does not have.

    Attributes:
        folder: of the run.
        spec: of the exported model.
        predictions: of that model on the held-out photos.
        manifest: all photos.
        baselines: what was said of the validation photos before anything was unfrozen.
        others: what the model said of other pictures.
        candidates: all weights that were scored.
        history: what happened when.
        robustness: how the model does on photos made worse.
        config: the settings, as text.
    """

    folder: RunFolder
    spec: ModelSpec
    predictions: pl.DataFrame
    manifest: pl.DataFrame | None = None
    baselines: pl.DataFrame | None = None
    others: pl.DataFrame | None = None
    candidates: pl.DataFrame | None = None
    history: dict[str, Any] | None = None
    robustness: dict[str, Any] | None = None
    config: str | None = None

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """Read a run's folder.

        Raises:
            DataError: it is none, or a file in it is none of ours.
        """
        spec = _spec(folder)
        if not folder.predictions.is_file():
            raise DataError(
                f"{str(folder.path)!r} has no {folder.predictions.name}, of which a report is made; vision-ft test "
                "writes it for a checkpoint"
            )
        predictions = _numbers(_table(folder.predictions), spec.classes)
        if wrong := set(predictions["label"]) - set(spec.classes):
            raise DataError(f"{folder.predictions}: the model has no class {', '.join(map(repr, sorted(wrong)))}")
        baselines, others = _optional(folder.baselines), _optional(folder.others)
        return cls(
            folder=folder,
            spec=spec,
            predictions=predictions,
            manifest=_optional(folder.manifest),
            baselines=None if baselines is None else _numbers(baselines, spec.classes),
            others=None if others is None else _numbers(others, spec.classes),
            candidates=_optional(folder.candidates),
            history=_json(folder.history),
            robustness=_json(folder.robustness),
            config=folder.config.read_text(encoding="utf-8") if folder.config.is_file() else None,
        )

    def parts(self) -> dict[str, Part]:
        """Validation and test, as far as there are photos."""
        found = {name: Part.of(self.predictions.filter(pl.col("split") == name), self.spec.classes) for name in PARTS}
        return {name: part for name, part in found.items() if len(part.labels)}

    def held_out(self) -> Part:
        """Both together."""
        return Part.of(self.predictions.filter(pl.col("split").is_in(PARTS)), self.spec.classes)


def _spec(folder: RunFolder) -> ModelSpec:
    if not folder.path.is_dir():
        raise DataError(f"no folder {str(folder.path)!r}; vision-ft fit makes one, such as runs/NAME/latest")
    # A test of a checkpoint has the spec alone beside its predictions.
    for path in (folder.bundle / SPEC_FILE, folder.path / SPEC_FILE):
        if path.is_file():
            try:
                return ModelSpec.from_json(path.read_bytes(), str(path))
            except BundleError as error:
                raise DataError(str(error)) from error
    raise DataError(
        f"{str(folder.path)!r} is no run that ended: it has no {folder.bundle.name}/{SPEC_FILE}; "
        "vision-ft export writes the bundle of a run"
    )


def _table(path: Path) -> pl.DataFrame:
    try:
        return read_frame(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: not a readable table ({' '.join(str(error).split())[:200]})") from error


def _optional(path: Path) -> pl.DataFrame | None:
    return _table(path) if path.is_file() else None


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); remove it") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: not what vision-ft wrote; remove it")
    return found


def _numbers(table: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """All of a table that was written by us, with its types; what older versions did not write is empty."""
    wanted = [column_of(name) for name in classes]
    if lacking := [name for name in wanted if name not in table.columns]:
        raise DataError(f"a table of predictions lacks the column {lacking[0]!r}; it is of another model")
    for name in ("novelty", "error"):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    return table.with_columns(pl.col(name).cast(pl.Float64) for name in [*wanted, "novelty"])
