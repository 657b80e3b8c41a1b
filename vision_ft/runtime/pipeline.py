"""Decoding and the engine at the same time, with a few batches held and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from vision_ft.framing import Pixels
from vision_ft.runtime.crew import Crew, Decoded
from vision_ft.runtime.photos import Photo

_Answer = TypeVar("_Answer")
Batch = list[tuple[Photo, Pixels | str]]


def answers(
    photos: Iterable[Photo],
    crew: Crew,
    answer: Callable[[Batch], list[_Answer]],
    *,
    batch_size: int,
    lanes: int,
    ordered: bool,
) -> Iterator[_Answer]:
    """What is said of each photo.

    Args:
        photos: taken from where this is iterated, a few batches ahead of what comes out.
        crew: decodes them.
        answer: given a batch of photos and their pixels, or reasons, what is said of each; called from other threads.
        batch_size: photos in a batch.
        lanes: batches that are answered at once.
        ordered: in the order of the photos, or as they come.

    Yields:
        One answer a photo.
    """
    waiting = enumerate(photos)
    # A batch for each lane, as many that follow, and two in the making.
    window = batch_size * (lanes + 2)
    held = next_number = 0
    early: dict[int, Decoded] = {}
    batch: Batch = []
    running: list[Future[list[_Answer]]] = []
    more = True
    with ThreadPoolExecutor(lanes, "engine") as engine:
        while True:
            while more and held < window:
                if (found := next(waiting, None)) is None:
                    more = False
                else:
                    crew.submit(*found)
                    held += 1
            if not held:
                break
            decoded = crew.next()
            early[decoded.number] = decoded
            if ordered:
                while (following := early.pop(next_number, None)) is not None:
                    batch.append((following.photo, following.pixels))
                    next_number += 1
            else:
                del early[decoded.number]
                batch.append((decoded.photo, decoded.pixels))
            while batch and (len(batch) >= batch_size or (not more and held == len(batch))):
                running.append(engine.submit(answer, batch[:batch_size]))
                held -= len(batch[:batch_size])
                batch = batch[batch_size:]
            while running and (ready := _ready(running, ordered=ordered, full=len(running) > 2 * lanes)):
                running.remove(ready)
                yield from ready.result()
        while running:
            ready = running[0] if ordered else next(iter(wait(running, return_when=FIRST_COMPLETED).done))
            running.remove(ready)
            yield from ready.result()


def _ready(running: list[Future[list[_Answer]]], *, ordered: bool, full: bool) -> Future[list[_Answer]] | None:
    """A batch that is answered and whose turn it is; waited for if there are enough of them."""
    if ordered:
        return running[0] if full or running[0].done() else None
    if full:
        wait(running, return_when=FIRST_COMPLETED)
    return next((one for one in running if one.done()), None)
