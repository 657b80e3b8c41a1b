from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vision_ft.runtime.crew import Crew
from vision_ft.runtime.photos import Photo
from vision_ft.runtime.pipeline import Batch, answers


class Slow:
    """Takes as many milliseconds as the photo says."""

    def __call__(self, photo: Photo) -> str:
        time.sleep(int(str(photo)) / 1000)
        return str(photo)

    def abandon(self) -> None: ...

    def close(self) -> None: ...


def said(photos: list[str], *, lanes: int = 2, batch_size: int = 2, ordered: bool = True) -> list[str]:
    sizes: list[int] = []

    def answer(batch: Batch) -> list[str]:
        sizes.append(len(batch))
        time.sleep(0.01 if len(sizes) % 2 else 0)  # batches overtake each other
        return [f"{photo}" for photo, _ in batch]

    with Crew(Slow, 3, None) as crew:
        found = list(answers(photos, crew, answer, batch_size=batch_size, lanes=lanes, ordered=ordered))
    assert max(sizes, default=0) <= batch_size
    return found


PHOTOS = ["30", "0", "1", "20", "0", "2", "0", "0", "10", "0", "1"] * 3


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_every_photo_is_answered_once_and_in_order(lanes: int, count: int) -> None:
    assert said(PHOTOS[:count], lanes=lanes) == PHOTOS[:count]


def test_as_they_come_every_photo_is_answered_once() -> None:
    photos = ["300", *(str(number) for number in range(20))]
    found = said(photos, ordered=False)
    assert sorted(found) == sorted(photos)
    assert found.index("300") > 10, "the one that takes long held up the others"


def test_as_many_batches_are_computed_at_once_as_there_are_lanes() -> None:
    together = threading.Barrier(3)

    def answer(batch: Batch) -> list[str]:
        together.wait(timeout=10)
        return ["x"] * len(batch)

    with Crew(Slow, 1, None) as crew:
        assert list(answers(["0"] * 12, crew, answer, batch_size=2, lanes=3, ordered=True)) == ["x"] * 12


def test_what_goes_wrong_in_the_engine_or_the_photos_comes_out() -> None:
    def answer(batch: Batch) -> list[str]:
        raise RuntimeError("engine")

    def photos() -> Iterator[str]:
        yield "0"
        raise LookupError("photos")

    with Crew(Slow, 1, None) as crew, pytest.raises(RuntimeError, match="engine"):
        list(answers(["0"] * 9, crew, answer, batch_size=2, lanes=1, ordered=True))
    with Crew(Slow, 1, None) as crew, pytest.raises(LookupError, match="photos"):
        list(answers(photos(), crew, answer, batch_size=2, lanes=1, ordered=True))
