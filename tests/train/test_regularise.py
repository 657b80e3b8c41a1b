from __future__ import annotations

import numpy as np
import pytest
import torch

from vision_ft.model.head import Linear
from vision_ft.train import regularise
from vision_ft.train.regularise import Features, fit_best

ZERO = Linear(torch.zeros(2, 20, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))


def features(values: torch.Tensor, labels: torch.Tensor) -> Features:
    return Features(values.float(), labels, torch.arange(len(labels)), len(labels))


def drawn(photos: int, seed: int, wrong: float = 0.0) -> Features:
    """One direction of twenty tells the classes apart, but for a share of labels that are wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, photos)
    values = rng.normal(size=(photos, 20)) + np.outer(2 * labels - 1, np.eye(20)[0]) * 2.5
    labels = np.where(rng.random(photos) < wrong, 1 - labels, labels)
    return features(torch.from_numpy(values), torch.from_numpy(labels))


def strength(words: str) -> float:
    return float(words.rpartition(" ")[2])


def log_loss(head: Linear, part: Features) -> float:
    return float(part.judge(head).losses.mean())


def test_a_few_easy_validation_photos_do_not_make_it_sure_of_itself() -> None:
    train, test = drawn(400, 0, wrong=0.1), drawn(4000, 1, wrong=0.1)
    easy = drawn(400, 2)
    easy = features(easy.values[easy.values[:, 0].abs() > 2.5][:30], easy.labels[easy.values[:, 0].abs() > 2.5][:30])
    sure, by_easy = fit_best(train, easy, ZERO, 0.0, None)
    sober, by_all = fit_best(train, easy, ZERO, 0.0, np.arange(400))
    assert strength(by_all) > strength(by_easy)
    assert log_loss(sober, test) < log_loss(sure, test)


def test_copies_are_no_photos_that_it_did_not_see() -> None:
    """Each photo is there five times; its label, a coin's, is then known out of fold unless copies stay together."""
    rng = np.random.default_rng(0)
    values, labels = torch.from_numpy(rng.normal(size=(60, 20))), torch.from_numpy(rng.integers(0, 2, 60))
    train, val = features(values.repeat(5, 1), labels.repeat(5)), drawn(2, 1)
    _, apart = fit_best(train, val, ZERO, 0.0, np.arange(300))
    _, together = fit_best(train, val, ZERO, 0.0, np.tile(np.arange(60), 5))
    assert together == "left at zero" or strength(together) > 10 * strength(apart)


def test_what_it_began_with_is_kept_where_nothing_does_better() -> None:
    start = Linear(ZERO.weight.clone(), ZERO.bias)
    start.weight[1, 0] = 5.0
    rng = np.random.default_rng(0)
    noise = features(torch.from_numpy(rng.normal(size=(40, 20))), torch.from_numpy(rng.integers(0, 2, 40)))
    head, chosen = fit_best(noise, drawn(500, 1), start, 0.0, None)
    assert chosen == "the pretrained rows as they were"
    assert head is start


def test_rows_that_say_something_are_what_it_is_held_near() -> None:
    start = Linear(ZERO.weight.clone(), ZERO.bias)
    start.weight[1, :2] = 1.5
    _, chosen = fit_best(drawn(30, 0), drawn(500, 1), start, 0.0, np.arange(30))
    assert chosen.startswith("held near the pretrained rows by ")


@pytest.mark.parametrize(
    ("photos", "groups", "val"),
    [(40, np.zeros(40, np.int64), 20), (40, np.arange(40), 1000), (40, None, 20)],
    ids=["all of one group", "enough for validation", "photos that the backbone knows"],
)
def test_where_it_is_judged_by_the_validation_part_alone(
    photos: int, groups: np.ndarray | None, val: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = drawn(photos, 0)
    seen: list[int] = []
    original = regularise.optima

    def noting(values: torch.Tensor, *args: object, **settings: object) -> object:
        seen.append(len(values))
        return original(values, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(regularise, "optima", noting)
    fit_best(train, drawn(val, 1), ZERO, 0.0, groups)
    assert seen == [photos]


def test_photos_that_could_not_be_read_are_in_no_fold() -> None:
    train = drawn(40, 0)
    some = Features(train.values[::2], train.labels[::2], torch.arange(0, 40, 2), 40)
    head, _ = fit_best(some, drawn(100, 1), ZERO, 0.0, np.arange(40))
    assert log_loss(head, drawn(100, 1)) < 0.3


def test_folds_side_by_side_are_those_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    train, val, groups = drawn(400, 0, wrong=0.1), drawn(50, 1), np.arange(400)
    side_by_side = fit_best(train, val, ZERO, 0.0, groups)
    assert torch.get_num_threads() == 2
    monkeypatch.setattr("vision_ft.model.convex._WORTH_THREADS", 0)
    one_by_one = fit_best(train, val, ZERO, 0.0, groups)
    torch.set_num_threads(before)
    assert side_by_side[1] == one_by_one[1]
    assert torch.equal(side_by_side[0].weight, one_by_one[0].weight)


def test_views_of_a_photo_are_in_one_fold() -> None:
    """Copies again, this time as looks at one photo."""
    rng = np.random.default_rng(0)
    once = features(torch.from_numpy(rng.normal(size=(60, 20))), torch.from_numpy(rng.integers(0, 2, 60)))
    several = Features.together([once] * 5)
    assert several.photos == 60
    _, apart = fit_best(features(several.values, several.labels), drawn(2, 1), ZERO, 0.0, np.arange(300))
    _, together = fit_best(several, drawn(2, 1), ZERO, 0.0, np.arange(60))
    assert strength(together) > strength(apart)
