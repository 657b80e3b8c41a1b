"""From photos to verdicts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from vision_ft.framing import Pixels
from vision_ft.runtime.bundle import open_bundle
from vision_ft.runtime.engine import Engine, OnnxRuntime, Probabilities
from vision_ft.runtime.photos import Photo, framed, path_of
from vision_ft.spec import ModelSpec

UNSURE, NEITHER = "unsure", "neither"
BATCH_SIZE = 16


@dataclass(frozen=True)
class Prediction:
    """What the model says of one photo.

    Attributes:
        path: the photo's path, or ``None`` where it came as bytes, image or array.
        verdict: a class, ``"unsure"`` or ``"neither"``; ``None`` where the photo cannot be read.
        label: the most probable class, whatever the verdict.
        confidence: its probability.
        probabilities: of each class, in the model's order.
        novelty: how unlike the training photos it is; ``None`` where the model has no such score.
        error: why the photo cannot be read; ``None`` for a good one.
    """

    path: str | None
    verdict: str | None = None
    label: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    novelty: float | None = None
    error: str | None = None


class Predictor:
    """An exported model, ready to predict. Safe to use from several threads."""

    def __init__(self, spec: ModelSpec, engine: Engine) -> None:
        """Put a model together; :meth:`load` is the usual way."""
        self.spec = spec
        self._engine = engine

    @classmethod
    def load(cls, bundle: str | os.PathLike[str]) -> Self:
        """Open a bundle and check every file in it.

        Raises:
            BundleError: the folder is no bundle, or a file in it was changed.
        """
        spec, model = open_bundle(Path(bundle))
        return cls(spec, OnnxRuntime(model))

    def predict(self, photos: Sequence[Photo] | Photo, batch_size: int = BATCH_SIZE) -> list[Prediction]:
        """Predict photos, in their order.

        Args:
            photos: paths, encoded bytes, Pillow images, or uint8 RGB arrays (height, width, 3); or one of these.
            batch_size: photos that the engine gets at once.

        Returns:
            One prediction a photo. A photo that cannot be read has its ``error`` set, and raises nothing.
        """
        single = isinstance(photos, (str, bytes, os.PathLike, Image.Image, np.ndarray))
        return list(self.stream([photos] if single else photos, batch_size))  # type: ignore[list-item, arg-type]

    def stream(self, photos: Iterable[Photo], batch_size: int = BATCH_SIZE) -> Iterator[Prediction]:
        """Predict photos as they come, in their order, holding a few batches of them and no more.

        Args:
            photos: as for :meth:`predict`.
            batch_size: photos that the engine gets at once.

        Yields:
            One prediction a photo.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, must be 1 or more")
        waiting = iter(photos)
        # One batch is decoded in threads while the one before it is in the engine; both leave the interpreter's lock.
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            ahead = self._submit(pool, waiting, batch_size)
            while ahead:
                current, ahead = ahead, self._submit(pool, waiting, batch_size)
                yield from self._predict_batch([(photo, future.result()) for photo, future in current])

    def probabilities(self, pixels: Pixels) -> Probabilities:
        """Probabilities (photos, classes) of photos already framed: uint8 (photos, height, width, 3)."""
        return self._engine.run(pixels)

    def _submit(
        self, pool: ThreadPoolExecutor, photos: Iterator[Photo], count: int
    ) -> list[tuple[Photo, Future[Pixels | str]]]:
        return [(photo, pool.submit(framed, photo, self.spec.preprocessing.framing)) for photo in islice(photos, count)]

    def _predict_batch(self, batch: Sequence[tuple[Photo, Pixels | str]]) -> Iterator[Prediction]:
        readable = [pixels for _, pixels in batch if not isinstance(pixels, str)]
        rows = iter(self._engine.run(np.stack(readable)) if readable else ())
        for photo, pixels in batch:
            path = path_of(photo)
            if isinstance(pixels, str):
                yield Prediction(path, error=pixels)
            else:
                yield self._judge(path, next(rows))

    def _judge(self, path: str | None, row: Probabilities) -> Prediction:
        best = int(row.argmax())
        label, confidence = self.spec.classes[best], float(row[best])
        unsure = self.spec.thresholds.unsure
        return Prediction(
            path=path,
            verdict=UNSURE if unsure is not None and confidence < unsure else label,
            label=label,
            confidence=confidence,
            probabilities={name: float(share) for name, share in zip(self.spec.classes, row, strict=True)},
        )
