"""From photos on the disk to lines of JSON: how fast, how soon, and in how much memory.

Rates: ``vision-ft predict`` as it runs at length, against the same engine alone on pixels that are decoded already,
and against PyTorch in eager mode with the same preprocessing; in turn within one run. The engine alone is measured as
the package runs it and as ONNX Runtime does by itself (its own number of threads, larger batches); the faster counts.
PyTorch is measured with photos decoded in its own process and by DataLoader's, and the faster counts too.

Start: a single photo, the whole process, against a program that does the same with PyTorch.

Memory: the largest the process became over 2,000 and 20,000 photos, then 100,000 of a small model; ``--small``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

from vision_ft.commands.output import Output
from vision_ft.files import walk_photos
from vision_ft.framing import resize
from vision_ft.imaging import decode_part, file_bytes, read
from vision_ft.machine import describe
from vision_ft.runtime.engine import Answers, Engine, OnnxRuntime, cores
from vision_ft.runtime.predictor import BATCH_SIZE, Predictor
from vision_ft.spec import NOVELTY, PIXELS, PROBABILITIES, SPEC_FILE, ModelSpec

GRAPHS = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
TORCH_PHOTOS = 400
COLD = """
import sys, torch, timm, numpy as np
from PIL import Image
spec_size = int(sys.argv[2])
net = timm.create_model(sys.argv[1], num_classes=2).eval()
with Image.open(sys.argv[3]) as image:
    pixels = np.asarray(image.convert("RGB").resize((spec_size, spec_size), Image.Resampling.BICUBIC))
with torch.inference_mode():
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float().div(255).sub(0.5).div(0.5)
    print(net(x).softmax(1))
"""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def all_of(work: Callable[[int], object], count: int, threads: int) -> None:
    """Numbers 0 to count - 1, by so many threads."""
    numbers, lock = iter(range(count)), threading.Lock()

    def one() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            work(number)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(one) for _ in range(threads)]:
            done.result()


def at_length(predictor: Predictor, paths: Sequence[Path], processes: int) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Output(Path(folder, "out.jsonl"), predictor.spec.classes, resume=False) as output,
    ):
        for prediction in predictor.stream(map(str, paths), processes=processes, timeout=30):
            output.write(prediction)


def bare(engine: OnnxRuntime, pixels: np.ndarray) -> None:
    starts = range(0, len(pixels), BATCH_SIZE)
    all_of(lambda n: engine.run(pixels[starts[n] : starts[n] + BATCH_SIZE]), len(starts), engine.lanes)


def bare_by_itself(session: onnxruntime.InferenceSession, pixels: np.ndarray, batch: int) -> None:
    for start in range(0, len(pixels), batch):
        session.run([PROBABILITIES, NOVELTY], {PIXELS: pixels[start : start + batch]})


def eager(spec: ModelSpec, paths: Sequence[Path], workers: int) -> Callable[[], object]:
    import timm
    import torch
    from torch.utils.data import DataLoader, Dataset

    network = timm.create_model(spec.backbone, num_classes=len(spec.classes)).eval()
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (spec.preprocessing.mean, spec.preprocessing.std))

    class Photos(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            pixels = torch.from_numpy(read(paths[index], spec.preprocessing.framing).copy())
            return (pixels.permute(2, 0, 1).float() / 255 - mean) / std

    def work() -> None:
        with torch.inference_mode():
            for batch in DataLoader(Photos(), batch_size=16, num_workers=workers):
                for path, row in zip(paths, network(batch).softmax(1).tolist(), strict=False):
                    json.dumps({"path": str(path), "probabilities": row})

    return work


def rates(options: argparse.Namespace, spec: ModelSpec, graphs: dict[str, Path], paths: Sequence[Path]) -> None:
    framing = spec.preprocessing.framing
    with ThreadPoolExecutor() as pool:
        pixels = np.stack(list(pool.map(lambda path: read(path, framing), paths)))
    few = paths[:: max(1, len(paths) // TORCH_PHOTOS)][:TORCH_PHOTOS]
    # What is measured: photos, and the work.
    works: dict[str, tuple[int, Callable[[], object]]] = {
        "PyTorch, decoding by itself": (len(few), eager(spec, few, 0)),
        "PyTorch, DataLoader's processes": (len(few), eager(spec, few, cores())),
    }
    for name, graph in graphs.items():
        predictor = Predictor(spec, OnnxRuntime(graph.read_bytes(), cores()))
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        works |= {
            f"{name} at length, processes": (len(paths), lambda p=predictor: at_length(p, paths, cores())),
            f"{name} at length, threads": (len(paths), lambda p=predictor: at_length(p, paths, 0)),
            f"{name} bare": (len(paths), lambda p=predictor: bare(p._engine, pixels)),
            f"{name} bare by itself": (len(paths), lambda s=session: bare_by_itself(s, pixels, 16)),
        }
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, (count, work) in works.items():
            found[name].append(count / seconds(work))
            print(f"  {name}: {found[name][-1]:.1f}", flush=True)
    median = {name: statistics.median(one) for name, one in found.items()}
    print(f"\n{len(paths):,} photos, medians of {options.rounds} rounds in turn, photos/s")
    for name, rate in median.items():
        print(f"{name}: {rate:.1f} ({min(found[name]):.1f} to {max(found[name]):.1f})")
    torch_rate = max(rate for name, rate in median.items() if name.startswith("PyTorch"))
    for name in graphs:
        best = max(rate for other, rate in median.items() if other.startswith(f"{name} bare"))
        for how in ("processes", "threads"):
            rate = median[f"{name} at length, {how}"]
            print(f"{name}, {how}: {rate / torch_rate:.2f} times PyTorch, {rate / best:.0%} of the bare rate")
        print(f"{name} bare, as the package runs it: {median[f'{name} bare'] / best:.0%} of the best bare rate")


def parts(spec: ModelSpec, graphs: dict[str, Path], paths: Sequence[Path]) -> None:
    """What a photo costs one core."""
    framing, some = spec.preprocessing.framing, paths[:: max(1, len(paths) // 300)]

    def core_ms(what: str, work: Callable[[], object]) -> None:
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            work()
            best = min(best, time.process_time() - start)
        print(f"{what}: {best / len(some) * 1e3:.2f} ms")

    datas = [file_bytes(path) for path in some]
    photos = [decode_part(data, framing, framing.box) for data in datas]
    pixels = np.stack([resize(photo, framing, box) for photo, box in photos])
    print("one core, a photo:")
    core_ms("reading", lambda: [file_bytes(path) for path in some])
    core_ms("decoding", lambda: [decode_part(data, framing, framing.box) for data in datas])
    core_ms("resampling", lambda: [resize(photo, framing, box) for photo, box in photos])
    for name, graph in graphs.items():
        predictor = Predictor(spec, OnnxRuntime(graph.read_bytes(), cores()))
        for batch in (1, 4, 16):
            core_ms(f"{name}, {batch} at once", partial(one_by_one, predictor._engine, pixels, batch))
        core_ms(f"{name} at length in threads, all of it", partial(at_length, predictor, some, 0))
    nothing = Predictor(spec, NoEngine(len(spec.classes)))
    core_ms("no engine at length in threads, all of it", partial(at_length, nothing, some, 0))


class NoEngine:
    """Knows all photos without looking."""

    def __init__(self, classes: int) -> None:
        self._classes, self.lanes = classes, cores()

    def run(self, pixels: np.ndarray) -> Answers:
        return Answers(np.full((len(pixels), self._classes), 1 / self._classes, np.float32))


def one_by_one(engine: Engine, pixels: np.ndarray, batch: int) -> None:
    for start in range(0, len(pixels), batch):
        engine.run(pixels[start : start + batch])


def run(arguments: Sequence[str], stdin: bytes = b"") -> tuple[float, int]:
    """Seconds, and the bytes at the largest of the process or one of its workers."""
    with tempfile.TemporaryFile() as listed:
        listed.write(stdin)
        listed.seek(0)
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdin=listed, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{arguments} ended with {os.waitstatus_to_exitcode(status)}")
    return taken, usage.ru_maxrss * 1024


def cold(options: argparse.Namespace, spec: ModelSpec, photo: Path) -> None:
    ours, theirs = [], []
    for _ in range(7):
        ours.append(run(["-m", "vision_ft", "predict", str(options.bundle), str(photo)])[0])
        size = str(spec.preprocessing.framing.height)
        theirs.append(run(["-c", COLD, spec.backbone, size, str(photo)])[0])
    one, other = statistics.median(ours), statistics.median(theirs)
    print(f"one photo, the whole process, medians of 7: {one:.2f} s")
    print(f"the same with PyTorch and timm: {other:.2f} s, {other / one:.1f} times as long")


def memory(bundle: Path, paths: Sequence[Path], counts: Sequence[int], more: Sequence[str] = ()) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            listed = "".join(f"{path}\n" for path in itertools.islice(itertools.cycle(paths), count))
            out = Path(folder, f"{count}.jsonl")
            taken, peak = run(
                ["-m", "vision_ft", "predict", str(bundle), "-", "--out", str(out), *more], os.fsencode(listed)
            )
            with out.open("rb") as file:
                lines = sum(1 for _ in file)
            print(
                f"{count:,} photos: {lines:,} lines, at most {peak / 1e6:.0f} MB, {count / taken:,.0f} photos/s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--what", nargs="+", default=["parts", "rates", "start", "memory"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=2002, help="photos for the rates")
    parser.add_argument("--graph", nargs="*", default=[], metavar="NAME=FILE", help="another graph of the same model")
    parser.add_argument("--small", type=Path, nargs=2, metavar=("BUNDLE", "PHOTOS"), help="for the 100,000")
    options = parser.parse_args()
    spec = ModelSpec.from_json((options.bundle / SPEC_FILE).read_bytes(), SPEC_FILE)
    graphs = {name: options.bundle / file for name, file in GRAPHS.items() if (options.bundle / file).is_file()}
    graphs |= {name: Path(file) for name, _, file in (graph.partition("=") for graph in options.graph)}
    paths = list(walk_photos(options.photos))
    print(describe(["onnxruntime", "pillow", "numpy", "torch", "timm"]))
    if "parts" in options.what:
        parts(spec, graphs, paths)
    if "rates" in options.what:
        rates(options, spec, graphs, paths[: options.count])
    if "start" in options.what:
        cold(options, spec, paths[0])
    if "memory" in options.what:
        memory(options.bundle, paths, (2_000, 20_000))
    if options.small is not None:
        memory(options.small[0], list(walk_photos(options.small[1])), (1_000, 10_000, 100_000))


if __name__ == "__main__":
    main()
