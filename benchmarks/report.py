"""What the report costs at the end of a fit: time on top, and bytes, with 400 validation photos.

The photos are dealt into training, 400 for validation and 400 for test; a fit of the head alone is timed, and in the
same run what it spends on the report: the pictures with their heat-maps, the figures and the page. The page is then
drawn again in a process of its own, as ``vision-ft report`` does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from vision_ft.machine import describe

HEAD_ONLY = Path(__file__).resolve().parents[1] / "configs" / "head_only.yaml"
# The same command; in it, the clock stops at what belongs to the report.
TIMED = """
import sys, time
from vision_ft.cli import main
from vision_ft.commands import testing
spent = {}
def timed(name):
    plain = getattr(testing, name)
    def wrapped(*args, **more):
        started = time.monotonic()
        try:
            return plain(*args, **more)
        finally:
            spent[name] = time.monotonic() - started
    setattr(testing, name, wrapped)
for name in ("keep_pictures", "draw_report"):
    timed(name)
code = main(sys.argv[1:])
print("spent", *(f"{name}={seconds:.2f}" for name, seconds in spent.items()))
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", help="a labelled folder, of 1,000 photos or more")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/report"))
    options = parser.parse_args()
    print(describe(["matplotlib", "captum", "torch", "onnxruntime"]))
    print(
        "| whole fit, s | pictures and heat-maps, s | figures and page, s | together, s | page, MB | drawn again, s |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for _ in range(options.runs):
        started = time.monotonic()
        done = run(
            [sys.executable, "-c", TIMED, "fit", "--config", HEAD_ONLY, "--data.root", options.photos, "--run.folder",
             options.out, "--run.name", "bench", "--data.split", "{val_per_class: 200, test_per_class: 200}"]
        )  # fmt: skip
        whole = time.monotonic() - started
        words = next(line for line in done.splitlines() if line.startswith("spent ")).split()[1:]
        spent = dict(word.split("=") for word in words)
        pictures, page = float(spent["keep_pictures"]), float(spent["draw_report"])
        folder = (options.out / "bench/latest").resolve()
        size = (folder / "report.html").stat().st_size / 1e6
        started = time.monotonic()
        run([sys.executable, "-m", "vision_ft", "report", folder])
        again = time.monotonic() - started
        print(
            f"| {whole:.0f} | {pictures:.1f} | {page:.1f} | {pictures + page:.1f} | {size:.2f} | {again:.1f} |",
            flush=True,
        )


def run(args: list[object]) -> str:
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(done.stdout + done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
