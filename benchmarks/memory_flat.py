"""Whether peak memory is flat in the number of photos: whole fits on a few and on ten times as many.

The photos are those of a folder over and over, each under a name of its own and with a few bytes of its own behind the
picture's end: of the same looks and cost, and to every cache and to the search for copies other files. With so many
near-duplicates that search has more to do than it mostly has.

Memory is what lies in the machine's memory of the command and all processes it starts (RSS), added up every 50 ms; what
several of them share counts for each, and so does what is mapped of files; the system's own cache of files does not.
``--config head_only.yaml`` is the head alone; with another, ``--set`` shortens its training.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from vision_ft.data.layout import list_photos
from vision_ft.machine import describe

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
EVERY = 0.05


@dataclass(frozen=True)
class Peak:
    """The most memory of a command, in bytes.

    Attributes:
        resident: of all its processes.
        mapped: that part of it which is mapped of files.
        at: seconds from the start.
        took: seconds, the whole command.
    """

    resident: int
    mapped: int
    at: float
    took: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a labelled folder")
    parser.add_argument("--counts", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--config", default="head_only.yaml", help="one of configs/")
    parser.add_argument("--set", default="", help="further settings, in one string")
    parser.add_argument("--most", type=float, help="fail where the last takes more than this many times the first")
    options = parser.parse_args()
    print(describe(["torch", "onnxruntime", "polars"]))
    print(f"vision-ft fit --config configs/{options.config} {options.set}".rstrip())
    print("| photos | peak | of it mapped files | at | whole command |\n| --- | --- | --- | --- | --- |")
    peaks = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            many(options.photos, Path(folder) / "photos", count)
            peaks.append(fit(Path(folder), options.config, shlex.split(options.set)))
        one = peaks[-1]
        print(
            f"| {count:,} | {one.resident / 1e6:,.0f} MB | {one.mapped / 1e6:,.0f} MB | {one.at:.0f} s "
            f"| {one.took:.0f} s |",
            flush=True,
        )
    ratio = peaks[-1].resident / peaks[0].resident
    print(f"the last is {ratio:.2f} times the first")
    if options.most is not None and ratio > options.most:
        sys.exit(1)


def many(photos: Path, folder: Path, count: int) -> None:
    """Write so many photos, in the same classes."""
    listing = list_photos(photos)
    rows = list(zip(listing.table["path"], listing.table["label"], strict=True))
    # In turn, so that every class is there whatever the number.
    rows = [row for _, row in sorted(enumerate(rows), key=lambda one: one[0] * 7919 % len(rows))]
    for number in range(count):
        path, label = rows[number % len(rows)]
        source = listing.root / path
        copy = folder / label / f"{number}{source.suffix}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes() + number.to_bytes(8, "big"))


def fit(folder: Path, config: str, more: list[str]) -> Peak:
    """A whole command, watched."""
    args = [
        "fit",
        "--config",
        CONFIGS / config,
        "--data.root",
        folder / "photos",
        "--run.folder",
        folder / "runs",
        *more,
    ]
    environment = {**os.environ, "VISION_FT_CACHE": str(folder / "cache")}
    said = folder / "said"
    started = time.monotonic()
    with said.open("wb") as file:
        process = psutil.Popen(
            [sys.executable, "-m", "vision_ft", *map(str, args)], env=environment, stdout=file, stderr=subprocess.STDOUT
        )
        most, mapped, at = 0, 0, 0.0
        while process.poll() is None:
            resident, shared = memory_of(process)
            if resident > most:
                most, mapped, at = resident, shared, time.monotonic() - started
            time.sleep(EVERY)
    if process.returncode not in (0, 3):
        sys.exit(said.read_text())
    return Peak(most, mapped, at, time.monotonic() - started)


def memory_of(process: psutil.Process) -> tuple[int, int]:
    """Bytes of a process and those below it: all that is resident, and what of it is mapped of files."""
    resident = mapped = 0
    try:
        for one in (process, *process.children(recursive=True)):
            found = one.memory_info()
            resident += found.rss
            mapped += getattr(found, "shared", 0)
    except psutil.NoSuchProcess:
        # It ended meanwhile; the next look is not far.
        pass
    return resident, mapped


if __name__ == "__main__":
    main()
