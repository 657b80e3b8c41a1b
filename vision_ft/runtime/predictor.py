"""From photos to verdicts."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from vision_ft.errors import UnreadablePhoto
from vision_ft.framing import Pixels
from vision_ft.runtime.bundle import engine_of, open_bundle
from vision_ft.runtime.crew import crew_of
from vision_ft.runtime.engine import Engine, Floats, cores
from vision_ft.runtime.heat import heat_of
from vision_ft.runtime.photos import Photo, framed, path_of
from vision_ft.runtime.pipeline import Batch, answers
from vision_ft.runtime.process import AVAILABLE
from vision_ft.runtime.thresholds import AS_BUNDLED, Moved, moved
from vision_ft.spec import ModelSpec, Thresholds

UNSURE, NEITHER = "unsure", "neither"
# On a CPU larger batches are no faster, and their activations fit its caches less well.
BATCH_SIZE = 4


@dataclass(frozen=True)
class Prediction:
    """What the model says of one photo.

    Attributes:
        path: the photo's path, or ``None`` where it came as bytes, image or array.
        verdict: a class, ``"unsure"`` or ``"neither"``; ``None`` where the photo cannot be read.
        label: the most probable class, whatever the verdict.
        confidence: its probability.
        probabilities: of each class, in the model's order.
        novelty: how unlike the training photos it is, where 1 is as far as 5 % of the validation photos were; ``None``
            where the model has no such score.
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
    """An exported model, ready to predict. Safe to use from several threads.

    Attributes:
        spec: what the bundle says of itself.
        thresholds: for *unsure* and *neither*, as they are used.
    """

    def __init__(self, spec: ModelSpec, engine: Engine, thresholds: Thresholds | None = None) -> None:
        """Put a model together; :meth:`load` is the usual way.

        Args:
            spec: of its bundle.
            engine: that runs it.
            thresholds: the bundle's own if not given.
        """
        self.spec = spec
        self.thresholds = spec.thresholds if thresholds is None else thresholds
        self._engine = engine

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str],
        engine: str = "onnx",
        unsure: Moved = AS_BUNDLED,
        neither: Moved = AS_BUNDLED,
        *,
        lanes: int = 1,
    ) -> Self:
        """Open a bundle and check every file in it.

        Args:
            bundle: its folder.
            engine: ``"onnx"``, ``"int8"`` or ``"openvino"``.
            unsure: a largest probability below this is *unsure*; ``None`` for never, the bundle's own if not given.
            neither: a novelty above this is *neither*; ``None`` for never, the bundle's own if not given.
            lanes: batches that a stream has computed at once, each by its share of the cores. One answers a single
                photo soonest; as many as there are cores get through many photos soonest.

        Raises:
            BundleError: the folder is no bundle, or a file in it was changed.
            UsageError: there is no such engine, in the bundle or at all, or a threshold cannot be.
        """
        spec, files = open_bundle(Path(bundle))
        return cls(spec, engine_of(engine, files, lanes), moved(spec, unsure, neither))

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

    def stream(
        self,
        photos: Iterable[Photo],
        batch_size: int = BATCH_SIZE,
        *,
        ordered: bool = True,
        processes: int = 0,
        timeout: float | None = None,
    ) -> Generator[Prediction]:
        """Predict photos as they come, holding a few batches of them and no more.

        Args:
            photos: as for :meth:`predict`; taken in the thread that iterates, a few batches ahead.
            batch_size: photos that the engine gets at once.
            ordered: in the order of the photos; otherwise as they are ready, where one that takes long holds up no
                other.
            processes: how many processes decode. They are started anew for each stream, which takes about a quarter of
                a second, and are replaced when they hang or die. 0 decodes in threads of this process.
            timeout: seconds that decoding one photo may take before it is given up; as many as it wants if not given.
                A thread whose photo was given up is left behind, and lives on until the photo is through or the
                program ends; a process is ended.

        Yields:
            One prediction a photo.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, must be 1 or more")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"timeout is {timeout}, must be more than 0, or None for no limit")
        if processes and not AVAILABLE:
            raise ValueError("processes that decode are not to be had on this system; leave them out")
        crew = crew_of(self.spec.preprocessing.framing, processes=processes, threads=cores(), timeout=timeout)
        lanes = self._engine.lanes
        with crew:
            yield from answers(photos, crew, self._answers, batch_size=batch_size, lanes=lanes, ordered=ordered)

    def probabilities(self, pixels: Pixels) -> Floats:
        """Probabilities (photos, classes) of photos already framed: uint8 (photos, height, width, 3)."""
        return self._engine.run(pixels).probabilities

    def explain(self, photo: Photo, label: str | None = None) -> Floats:
        """Where on a photo the model sees a class: see :func:`vision_ft.runtime.heat.heat_of`.

        Args:
            photo: as for :meth:`predict`.
            label: the class; the most probable one if not given.

        Returns:
            float32 (height, width) in [0, 1], of what the network sees of the photo (``spec.preprocessing.framing``).

        Raises:
            UnreadablePhoto: says why it cannot be read.
            UsageError: there is no such class, or the model gives no heat-map.
        """
        pixels = framed(photo, self.spec.preprocessing.framing)
        if isinstance(pixels, str):
            raise UnreadablePhoto(pixels)
        return heat_of(self._engine, pixels, self.spec.classes, label)

    def _answers(self, batch: Batch) -> list[Prediction]:
        return list(self._predict_batch(batch))

    def _predict_batch(self, batch: Sequence[tuple[Photo, Pixels | str]]) -> Iterator[Prediction]:
        readable = [pixels for _, pixels in batch if not isinstance(pixels, str)]
        rows = self._judgements(readable)
        for photo, pixels in batch:
            path = path_of(photo)
            if isinstance(pixels, str):
                yield Prediction(path, error=pixels)
            else:
                yield self._judge(path, *next(rows))

    def _judgements(self, photos: Sequence[Pixels]) -> Iterator[tuple[Floats, float | None]]:
        """Probabilities (classes,) and novelty of each of some framed photos."""
        if photos:
            probabilities, novelty = self._engine.run(np.stack(photos))
            yield from zip(probabilities, [None] * len(photos) if novelty is None else novelty.tolist(), strict=True)

    def _judge(self, path: str | None, row: Floats, novelty: float | None) -> Prediction:
        best = int(row.argmax())
        label, confidence = self.spec.classes[best], float(row[best])
        return Prediction(
            path=path,
            verdict=self._verdict(label, confidence, novelty),
            label=label,
            confidence=confidence,
            probabilities={name: float(share) for name, share in zip(self.spec.classes, row, strict=True)},
            novelty=novelty,
        )

    def _verdict(self, label: str, confidence: float, novelty: float | None) -> str:
        unsure, neither = self.thresholds.unsure, self.thresholds.neither
        if neither is not None and novelty is not None and novelty > neither:
            return NEITHER
        return UNSURE if unsure is not None and confidence < unsure else label
