"""Photos for an export: read in threads, a batch ahead of whatever looks at them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from vision_ft.data.listing import TRAIN, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.errors import DataError, UnreadablePhoto
from vision_ft.export.novelty import remembered
from vision_ft.export.part import Floats, Material, Part
from vision_ft.framing import Framing, Pixels
from vision_ft.imaging import file_bytes, read
from vision_ft.machine import usable_cores

# An export is compared on at least so many photos, where the data has them.
_FEWEST = 32
_BATCH = 8
# What a network made of photos before, by their places in a list of the SHA-256 of their files.
Kept = Callable[[Sequence[str]], Mapping[int, tuple[Floats, Floats]]]


def material_of(
    golden: Sequence[Path], manifest: Manifest | None, framing: Framing, kept: Kept | None = None
) -> Material:
    """Everything that an export looks at.

    Args:
        golden: photos to compare on.
        manifest: the photos of the run, if they are to be had.
        framing: of the network.
        kept: what it made of photos before.

    Raises:
        DataError: the photos to compare on are gone.
    """
    pixels, digests = _read_golden(golden, framing)
    if manifest is None:
        return Material(pixels, digests)
    return Material(pixels, digests, _part(manifest, TRAIN, framing, kept), _part(manifest, VAL, framing, kept))


def _part(manifest: Manifest, name: str, framing: Framing, kept: Kept | None) -> Part | None:
    rows = manifest.part(name)
    paths, labels = manifest.paths(rows), np.array(manifest.labels(rows), dtype=np.int64)
    digests = rows["sha256"].to_list()
    if name == TRAIN and len(paths):
        chosen = remembered(labels)
        paths, labels = [paths[place] for place in chosen], labels[chosen]
        digests = [digests[place] for place in chosen]
    if not len(paths):
        return None
    return Part(labels, lambda places: batches_of(paths, places, framing), {} if kept is None else kept(digests))


def batches_of(paths: Sequence[Path], places: Sequence[int], framing: Framing) -> Iterator[tuple[list[int], Pixels]]:
    """Places among the paths, and pixels, uint8 (photos, height, width, 3); what cannot be read is left out."""
    waiting = iter([(place, paths[place]) for place in places])
    # Decoding leaves the interpreter's lock, and so does whatever looks at the batch before.
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:

        def submit() -> list[tuple[int, Future[Pixels]]]:
            return [(place, pool.submit(read, path, framing)) for place, path in islice(waiting, _BATCH)]

        ahead = submit()
        while ahead:
            current, ahead = ahead, submit()
            found = {place: pixels for place, future in current if (pixels := _readable(future)) is not None}
            if found:
                yield list(found), np.stack(list(found.values()))


def _readable(future: Future[Pixels]) -> Pixels | None:
    try:
        return future.result()
    except UnreadablePhoto:
        return None


def _read_golden(paths: Sequence[Path], framing: Framing) -> tuple[list[Pixels], list[str]]:
    pixels, digests = [], []
    for path in paths:
        try:
            data = file_bytes(path)
            pixels.append(read(data, framing))
        except UnreadablePhoto:
            continue
        digests.append(hashlib.sha256(data).hexdigest())
    if not pixels or len(pixels) < min(_FEWEST, len(paths)):
        example = f", among them {str(paths[0])!r}" if paths else ""
        raise DataError(
            f"only {len(pixels)} of the {len(paths)} photos that the export is checked on can be read{example}; "
            "name a folder of photos with --photos"
        )
    return pixels, digests
