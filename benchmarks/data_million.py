"""A manifest of a million rows, listed and split; near-duplicates among a million hashes.

Each part runs in a process of its own, whose peak memory is printed. A hundredth of the hashes are near-duplicates of
others, with 0 to 31 bits flipped; in a second set, half of the hashes lie close to one of a hundred, as pictures of a
few scenes do.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from vision_ft.data.dealing import deal
from vision_ft.data.dealing import describe as describe_split
from vision_ft.data.layout import list_photos
from vision_ft.data.manifest import SCHEMA, Manifest
from vision_ft.data.near import Hashes, groups_of, near_pairs
from vision_ft.data.split import Split
from vision_ft.machine import describe


def megabytes() -> float:
    """The most memory that this process has had; what getrusage says, a child has from its parent at the start."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_rows(count: int, path: Path) -> None:
    numbers = pl.DataFrame({"row": np.arange(count)})
    numbers.select(
        path=pl.format("photos/class{}/photo_{}.jpg", pl.col("row") % 20, "row"),
        label=pl.format("class{}", pl.col("row") % 20),
        split=pl.lit(None, pl.String),
        # One photo in ten is a near-duplicate of the one before it.
        group=pl.format("{}", pl.col("row") - (pl.col("row") % 10 == 9).cast(pl.Int64)),
        sha256=pl.format("{}", "row"),
        width=pl.lit(500),
        height=pl.lit(375),
        problem=pl.lit(None, pl.String),
    ).write_csv(path)


def split_rows(path: Path) -> None:
    start = time.perf_counter()
    listing = list_photos(path)
    listed = time.perf_counter()
    if listing.prepared is None:
        raise SystemExit("the table was not taken for a manifest")
    dealt = deal(Manifest(listing.root, listing.classes, listing.prepared.select(list(SCHEMA))), Split())
    end = time.perf_counter()
    print(describe_split(dealt))
    print(f"listed in {listed - start:.1f} s, split in {end - listed:.1f} s, peak {megabytes():,.0f} MB")


def random_hashes(count: int) -> tuple[Hashes, int]:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    near = count // 100
    bits = np.unpackbits(hashes[rng.choice(count - near, near, replace=False)], axis=1)
    for row in bits:
        row[rng.choice(256, rng.integers(0, 32), replace=False)] ^= 1
    hashes[count - near :] = np.packbits(bits, axis=1)
    return hashes, near


def alike_hashes(count: int) -> tuple[Hashes, int]:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    scenes = hashes[:100]
    for start in range(0, count // 2, 10_000):
        block = np.unpackbits(scenes[rng.integers(0, 100, 10_000)], axis=1)
        block ^= rng.random(block.shape) < 0.15  # about 38 bits: as near as photos of one scene are
        hashes[start : start + 10_000] = np.packbits(block, axis=1)
    return hashes, 0


def write_hashes(count: int, make: Callable[[int], tuple[Hashes, int]], path: Path) -> None:
    hashes, planted = make(count)
    np.savez(path, hashes=hashes, planted=planted)


def search(name: str, path: Path) -> None:
    loaded = np.load(path)
    hashes, planted = loaded["hashes"], int(loaded["planted"])
    before = megabytes()
    start = time.perf_counter()
    first, second, _ = near_pairs(hashes)
    groups = groups_of(len(hashes), first, second).max() + 1
    end = time.perf_counter()
    of = f" of {planted:,} planted" if planted else ""
    print(
        f"{name}: {len(first):,} pairs{of} and {groups:,} groups among {len(hashes):,} in {end - start:.1f} s, "
        f"peak {megabytes():,.0f} MB, of which {before:,.0f} MB before the search"
    )


def in_a_process(work: Callable[..., None], *args: object) -> None:
    process = multiprocessing.get_context("spawn").Process(target=work, args=args)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    count = parser.parse_args().count
    print(describe(["numpy", "polars", "scipy"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "manifest.csv")
        write_rows(count, path)
        in_a_process(split_rows, path)
    for make in (random_hashes, alike_hashes):
        for size in (count // 4, count):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "hashes.npz")
                # In another process, for what making them takes would hide what the search takes.
                in_a_process(write_hashes, size, make, path)
                in_a_process(search, make.__name__, path)


if __name__ == "__main__":
    main()
