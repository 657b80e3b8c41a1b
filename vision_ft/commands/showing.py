"""Photos for an export: read in threads, a batch ahead of whatever looks at them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from vision_ft.data.listing import TRAIN, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.errors import DataError, UnreadablePhoto
from vision_ft.export.novelty import remembered
from vision_ft.export.part import Material, Part
from vision_ft.framing import Framing, Pixels
from vision_ft.imaging import file_bytes, read

# An export is compared on at least so many photos, where the data has them.
_FEWEST = 32
_BATCH = 16


def material_of(golden: Sequence[Path], manifest: Manifest | None, framing: Framing) -> Material:
    """Everything that an export looks at.

    Args:
        golden: photos to compare on.
        manifest: the photos of the run, if they are to be had.
        framing: of the network.

    Raises:
        DataError: the photos to compare on are gone.
    """
    pixels, digests = _read_golden(golden, framing)
    if manifest is None:
        return Material(pixels, digests)
    return Material(pixels, digests, _part(manifest, TRAIN, framing), _part(manifest, VAL, framing))


def _part(manifest: Manifest, name: str, framing: Framing) -> Part | None:
    rows = manifest.part(name)
    paths, labels = manifest.paths(rows), np.array(manifest.labels(rows), dtype=np.int64)
    if name == TRAIN and len(paths):
        chosen = remembered(labels)
        paths, labels = [paths[place] for place in chosen], labels[chosen]
    return Part(labels, lambda: _batches(paths, framing)) if len(paths) else None


def _batches(paths: Sequence[Path], framing: Framing) -> Iterator[tuple[list[int], Pixels]]:
    """Places among the paths and their pixels, uint8 (photos, height, width, 3); those that cannot be read are left."""
    waiting = iter(enumerate(paths))
    # Decoding leaves the interpreter's lock, and so does whatever looks at the batch before.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:

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
