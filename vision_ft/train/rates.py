"""What looking at photos is made of, part by part and together, timed with the settings of a fit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from rich.console import Console

from vision_ft.data.listing import TRAIN, VAL
from vision_ft.data.loading import PhotoDataset
from vision_ft.data.plain import PlainPhotos
from vision_ft.data.rates import Reading
from vision_ft.errors import UsageError
from vision_ft.files import spread
from vision_ft.model.translate import FEATURES, Translation, Untranslatable
from vision_ft.silent import silent_openvino
from vision_ft.train.eyes import ByOnnxRuntime, ByTorch
from vision_ft.train.looking import Cache, Looker
from vision_ft.train.prepared import Prepared
from vision_ft.train.stopwatch import Stopwatch

DECODE, PREPROCESS, AUGMENT = "decode", "preprocess", "augment"
EXTRACT = "extract features"
# Photos that are shown at once, besides a whole batch; and photos that are read.
FEW = (1, 8)
PHOTOS = 256
_APART, _EXACT = "ONNX Runtime, photos apart", "PyTorch, float32"


@dataclass(frozen=True)
class Engine:
    """What computes a network's answers.

    Attributes:
        name: of the engine and its precision.
        run: takes uint8 pixels (photos, height, width, 3) on the CPU.
    """

    name: str
    run: Callable[[torch.Tensor], object]

    def forward(self, photos: int) -> str:
        """What a pass of so many photos is called."""
        return f"forward, {self.name}, {photos} at once"


class Looks:
    """Times reading photos and looking at them.

    Attributes:
        photos: of the training part, framed as prediction frames them.
        rows: of those that are read.
        notes: what could not be timed, and why.
    """

    def __init__(self, cli: Prepared, watch: Stopwatch, translation: Translation) -> None:
        """Read a batch of photos.

        Args:
            cli: the fit, its network on the device.
            watch: times.
            translation: of the network.
        """
        self._cli = cli
        self._watch = watch
        self._translation = translation
        self._batch = cli.datamodule.batch_size
        self.notes: list[str] = []
        self.photos: PlainPhotos = cli.datamodule.plain_photos(TRAIN)
        # Spread over the part, which lies in order of classes.
        self.rows = spread(range(len(self.photos.labels)), PHOTOS)
        dataset = self.photos.dataset
        found = dataset.collate(dataset.__getitems__(self.rows[: self._batch])).pixels
        # Few photos go round: a batch is as large as it is set.
        self._pixels = found[torch.arange(max(self._batch, *FEW)) % len(found)]

    def time_reading(self) -> None:
        """Decoding, framing and augmenting, each by itself, by as many threads as compute."""
        dataset = cast(PhotoDataset, self._cli.datamodule.train_dataloader().dataset)
        reading = Reading(dataset, self.rows, torch.get_num_threads())
        self._watch.time(DECODE, reading.decode)
        self._watch.time(PREPROCESS, reading.frame)
        self._watch.time(AUGMENT, reading.augment)

    def time_engine(self, engine: Engine, *largest: int) -> None:
        """A network's answers to photos in memory, a few at once, and at last so many."""
        for photos in sorted({*FEW, *largest}):
            shown = self._pixels[torch.arange(photos) % len(self._pixels)]
            self._watch.time(engine.forward(photos), functools.partial(count, engine.run, shown))

    def time_looking(self) -> None:
        """The frozen backbone in each engine, and what becomes of photos in files, of which nothing is known."""
        cli, network = self._cli, self._cli.model.network.eval()
        precision, context = str(cli.trainer.precision), cli.trainer.precision_plugin.forward_context
        looker = Looker(network, cli.device, precision, context, Cache(gigabytes=0), self._translation)
        engines = [Engine(_EXACT, ByTorch(network.features, cli.device, nullcontext))]
        if precision != "32-true":
            engines.append(Engine(f"PyTorch, {precision}", ByTorch(network.features, cli.device, context)))
        if cli.device.type == "cpu":
            engines += self._on_cpu()
        for engine in engines:
            self.time_engine(engine, self._batch)
        counts = cli.datamodule.manifest.counts()
        eyes = looker.eyes_for(counts[TRAIN] + counts[VAL])
        half = cli.device.type != "cpu" and precision != "32-true"
        name = _APART if isinstance(eyes, ByOnnxRuntime) else f"PyTorch, {precision}" if half else _EXACT
        forward = Engine(name, eyes).forward(self._batch)
        console = Console(stderr=True)

        def look() -> int:
            return len(looker.look(self.photos, self.rows, lambda: None, console, False).rows)

        self._watch.time(EXTRACT, look, (DECODE, PREPROCESS, forward))

    def _on_cpu(self) -> list[Engine]:
        """Engines other than PyTorch."""
        try:
            graph = self._translation.part(FEATURES, self._cli.model.network)
        except Untranslatable as error:
            self.notes.append(f"no engine but PyTorch: the backbone cannot be translated ({error})")
            return []
        return [Engine(_APART, ByOnnxRuntime(graph)), *_by_openvino(graph)]


def count(run: Callable[[torch.Tensor], object], pixels: torch.Tensor) -> int:
    """Show pixels to an engine, and count the photos."""
    run(pixels)
    return len(pixels)


def _by_openvino(graph: bytes) -> list[Engine]:
    """OpenVINO where it is installed, in the precision that it chooses itself; nothing here needs it."""
    try:
        openvino = silent_openvino()
    except UsageError:
        return []
    core = openvino.Core()
    compiled: Any = core.compile_model(core.read_model(graph), "CPU")
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return [Engine(f"OpenVINO, {precision}", lambda pixels: compiled(pixels.numpy()))]
