from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision_ft.errors import UnreadablePhoto, UsageError
from vision_ft.framing import Framing, Pixels
from vision_ft.runtime.engine import Answers
from vision_ft.runtime.photos import Named
from vision_ft.runtime.predictor import Predictor
from vision_ft.spec import ModelSpec, Preprocessing, Thresholds, WeightsOrigin

FRAMING = Framing(height=8, width=8, crop=1.0, interpolation="bilinear")


class Brightness:
    """An engine that can be checked by eye: the share of white is the probability of the second class."""

    lanes = 1

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, pixels: Pixels) -> Answers:
        self.batches.append(len(pixels))
        white = pixels.reshape(len(pixels), -1).mean(axis=1) / 255
        return Answers(np.stack([1 - white, white], axis=1).astype(np.float32), self.novelty_of(white))

    def novelty_of(self, white: np.ndarray) -> np.ndarray | None:
        """Grey is what it knows; the further from it, the newer."""
        return (np.abs(white - 0.5) * 4).astype(np.float32)

    def places(self, pixels: Pixels) -> np.ndarray | None:
        return None


def predictor(**thresholds: float) -> Predictor:
    spec = ModelSpec(
        classes=("dark", "light"),
        preprocessing=Preprocessing(FRAMING, (0, 0, 0), (1, 1, 1)),
        backbone="none",
        weights=WeightsOrigin("random:", None),
        thresholds=Thresholds(**thresholds),
    )
    return Predictor(spec, Brightness())


def grey(value: int, path: Path | None = None) -> Image.Image:
    image = Image.new("RGB", (20, 10), (value,) * 3)
    if path is not None:
        image.save(path)
    return image


def test_paths_bytes_images_and_arrays_are_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = grey(204, path)
    found = predictor().predict([path, str(path), path.read_bytes(), image, np.asarray(image)])
    assert [one.path for one in found] == [str(path), str(path), None, None, None]
    assert {one.verdict for one in found} == {"light"}
    assert [one.confidence for one in found] == pytest.approx([0.8] * 5)
    assert found[0].probabilities == pytest.approx({"dark": 0.2, "light": 0.8})
    assert predictor().predict(image)[0].label == "light"


def test_what_cannot_be_read_keeps_its_place(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    grey(0, good)
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:20])
    found = predictor().predict([bad, good, tmp_path / "none.png", b"", np.zeros((3, 3), np.uint8)], batch_size=2)
    assert [one.verdict for one in found] == [None, "dark", None, None, None]
    assert all(one.error and one.probabilities is None for one in found if one.verdict is None)
    assert found[1].error is None


def test_an_image_that_breaks_while_it_is_loaded_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    grey(0, path)
    path.write_bytes(path.read_bytes()[:-30])
    closed = grey(0)
    closed.close()
    with Image.open(path) as cut:
        found = predictor().predict([cut, closed, grey(0)])
    assert [one.error is None for one in found] == [False, False, True]


def test_batches_are_of_the_size_asked_for_and_in_order() -> None:
    one = predictor()
    values = list(range(0, 250, 10))
    found = one.predict([grey(value) for value in values], batch_size=4)
    assert one._engine.batches == [4] * 6 + [1]  # type: ignore[attr-defined]
    assert [round((prediction.probabilities or {})["light"] * 255) for prediction in found] == values


def test_a_stream_holds_a_few_batches_and_no_more() -> None:
    taken = 0

    def photos():  # type: ignore[no-untyped-def]
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield grey(0)

    stream = predictor().stream(photos(), batch_size=5)
    next(stream)
    assert taken <= 5 * 5
    stream.close()


def test_unsure_below_its_threshold() -> None:
    found = predictor(unsure=0.7).predict([grey(153), grey(204)])
    assert [(one.verdict, one.label) for one in found] == [("unsure", "light"), ("light", "light")]


def test_neither_beyond_its_threshold_whatever_the_confidence() -> None:
    found = predictor(unsure=0.7, neither=1.0).predict([grey(153), grey(191), grey(230)])
    assert [(one.verdict, one.label) for one in found] == [
        ("unsure", "light"),
        ("light", "light"),
        ("neither", "light"),
    ]
    assert [one.novelty for one in found] == pytest.approx([0.4, 0.996, 1.608], abs=1e-3)


def test_without_novelty_nothing_is_neither() -> None:
    model = predictor(neither=0.1)
    model._engine.novelty_of = lambda white: None  # type: ignore[attr-defined]
    (found,) = model.predict([grey(250)])
    assert (found.verdict, found.novelty) == ("light", None)


def test_a_model_without_places_says_that_it_has_no_heat_map() -> None:
    with pytest.raises(UsageError, match="gives no heat-map"):
        predictor().explain(grey(200))
    with pytest.raises(UsageError, match=r"no class 'ligt' \(did you mean 'light'\?\)"):
        predictor().explain(grey(200), "ligt")
    with pytest.raises(UnreadablePhoto):
        predictor().explain(b"")


def test_several_threads_get_their_own_answers() -> None:
    one = predictor()
    wrong: list[int] = []

    def work(value: int) -> None:
        for _ in range(20):
            (found,) = one.predict([grey(value)])
            if round((found.probabilities or {})["light"] * 255) != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in (0, 60, 120, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_batch_size_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        predictor().predict([grey(0)], batch_size=0)


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout is 0, must be more than 0"):
        list(predictor().stream([grey(0)], timeout=0))


def test_photos_may_be_decoded_by_processes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = grey(204, path)
    found = list(predictor().stream([path, path.read_bytes(), image, Named("b", path.read_bytes()), "x"], processes=2))
    assert [one.path for one in found] == [str(path), None, None, "b", "x"]
    assert [one.confidence for one in found] == [pytest.approx(0.8)] * 4 + [None]


def test_no_photos_no_predictions() -> None:
    assert predictor().predict([]) == []
