"""How near extracting features comes to the engine's bare rate on the same photos, decoded.

In turn, within one run: the engine alone on pixels in memory, as the package runs it (each thread photos of its own)
and as ONNX Runtime runs by itself, of which the faster counts; the package's extraction from those pixels; its
extraction from the files; and reading the files alone. Extraction is ``Looker.look`` with a new, empty cache each
time: everything is looked at, and everything is written down. Beside the rates stands the processors' time that a
photo took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import onnxruntime
import torch
from rich.console import Console

from vision_ft.data.layout import list_photos
from vision_ft.data.loading import PhotoDataset
from vision_ft.data.plain import PlainPhotos
from vision_ft.data.survey import survey
from vision_ft.framing import Pixels
from vision_ft.machine import describe
from vision_ft.model.backbone import build
from vision_ft.model.network import Network
from vision_ft.model.translate import FEATURES, Translation
from vision_ft.spec import PIXELS
from vision_ft.train.looking import Cache, Looker

READING = "reading the files alone"
ALONE = ("the engine alone, as the package runs it", "the engine alone, ONNX Runtime's own threads")
DECODED, FILES = "features of decoded photos", "features of photos in files"


class Decoded(PhotoDataset):
    """Photos that lie in memory."""

    held: torch.Tensor

    def pixels(self, row: int, view: int) -> Pixels:
        return self.held[row].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a labelled folder")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    options = parser.parse_args()
    print(describe(["torch", "onnxruntime", "pillow"]))
    works = prepared(options)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(options.rounds):
        for name, work in works.items():
            found[name].append(timed(work))
    report(found, options.count)


def prepared(options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    manifest = survey(list_photos(options.photos)).manifest
    rows = manifest.readable.gather_every(max(1, manifest.readable.height // options.count)).head(options.count)
    options.count = rows.height
    built = build(options.backbone, "builtin:" if "lite" in options.backbone else "random:", manifest.classes)
    network = Network(built.module, built.preprocessing).eval()
    translation = Translation(network)
    paths, labels, keys = manifest.paths(rows), manifest.labels(rows), rows["path"].to_list()
    digests, framing = rows["sha256"].to_list(), built.preprocessing.framing
    files = PlainPhotos(
        PhotoDataset(paths, labels, keys, framing, digests=digests), labels, digests, options.batch, workers=0
    )
    places = range(options.count)
    pixels = torch.cat([batch.pixels for batch in files.loader(places)])
    memory = Decoded(paths, labels, keys, framing)
    memory.held = pixels

    def look(photos: PlainPhotos) -> None:
        with tempfile.TemporaryDirectory() as folder:
            looker = Looker(network, torch.device("cpu"), "32-true", nullcontext, Cache(folder=folder), translation)
            looker._eyes = eyes
            looker.look(photos, places, lambda: None, Console(stderr=True), False)

    cpu, nothing = torch.device("cpu"), Cache(gigabytes=0)
    eyes = Looker(network, cpu, "32-true", nullcontext, nothing, translation).eyes_for(1 << 40)
    graph = translation.part(FEATURES, network)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return {
        READING: lambda: [None for _ in files.loader(places)],
        ALONE[0]: lambda: [eyes(some) for some in pixels.split(options.batch)],
        ALONE[1]: lambda: [session.run(None, {PIXELS: some.numpy()}) for some in pixels.split(options.batch)],
        DECODED: lambda: look(replace(files, dataset=memory)),
        FILES: lambda: look(files),
    }


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of all cores together."""
    started, busy = time.perf_counter(), sum(os.times()[:2])
    work()
    return time.perf_counter() - started, sum(os.times()[:2]) - busy


def report(found: dict[str, list[tuple[float, float]]], count: int) -> None:
    bare = min(ALONE, key=lambda name: statistics.median(seconds for seconds, _ in found[name]))
    print(f"| {count} photos | photos/s | core time a photo | of the faster engine alone |\n| --- | --- | --- | --- |")
    for name, times in found.items():
        seconds, busy = (statistics.median(column) for column in zip(*times, strict=True))
        # Round by round: what slows the machine down slows both.
        share = statistics.median(alone[0] / one[0] for one, alone in zip(times, found[bare], strict=True))
        print(f"| {name} | {count / seconds:.1f} | {busy / count * 1e3:.2f} ms | {share:.1%} |")
    in_turn = [reading[0] + alone[0] for reading, alone in zip(found[READING], found[bare], strict=True)]
    of_engine = statistics.median(alone[0] / both for alone, both in zip(found[bare], in_turn, strict=True))
    of_both = statistics.median(both / one[0] for one, both in zip(found[FILES], in_turn, strict=True))
    print(f"reading and the engine one after the other, on the same cores: {of_engine:.1%} of the engine alone")
    print(f"features of photos in files come to {of_both:.1%} of that")


if __name__ == "__main__":
    main()
