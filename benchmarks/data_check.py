"""How fast ``data check`` is, against bare decoding of the same files by the same decoder.

Both use as many threads as there are cores, and take turns. The check is measured twice: what it does with the photos,
and the whole command from its start to its end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vision_ft.audit.check import audit
from vision_ft.audit.files import Limits
from vision_ft.audit.page import write_page
from vision_ft.data.layout import list_photos
from vision_ft.data.survey import survey
from vision_ft.imaging import decode
from vision_ft.machine import describe


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    listing = list_photos(options.photos)
    paths = [listing.root / path for path in listing.table["path"]]

    def bare() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # In chunks as large as the check's own.
            chunks = [paths[start : start + 32] for start in range(0, len(paths), 32)]
            list(pool.map(lambda chunk: [decode(path).size for path in chunk], chunks))

    with tempfile.TemporaryDirectory() as folder:

        def check() -> None:
            seen = survey(list_photos(options.photos))
            write_page(Path(folder, "check.html"), seen, audit(seen, Limits(), None), "")

        def command() -> None:
            subprocess.run(
                [sys.executable, "-m", "vision_ft", "data", "check", options.photos, "--no-suspects", "--out", folder],
                check=False,
                stdout=subprocess.DEVNULL,
            )

        bare()  # the files are in memory from here on
        times: dict[str, list[float]] = {"bare decoding": [], "check": [], "whole command": []}
        for _ in range(options.rounds):
            for name, work in zip(times, (bare, check, command), strict=True):
                times[name].append(seconds(work))
    print(describe(["pillow", "numpy", "polars"]))
    medians = {name: statistics.median(one) for name, one in times.items()}
    for name, median in medians.items():
        share = medians["bare decoding"] / median
        print(f"{name}: {median:.2f} s, {len(paths) / median:,.0f} photos/s, {share:.0%} of the bare rate")


if __name__ == "__main__":
    main()
