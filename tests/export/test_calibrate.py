"""Temperature, the unsure band and novelty, on numbers whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from vision_ft.export.calibrate import calibrate
from vision_ft.export.novelty import Bank, Novelty, remembered, scale_of
from vision_ft.export.unsure import band, upper_bound
from vision_ft.scoring import calibration_error


def logits_of(photos: int, classes: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated when divided by the temperature: labels are drawn from what they say then."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, (photos, classes))
    shares = softmax(true, axis=1)
    labels = np.array([rng.choice(classes, p=row) for row in shares])
    return (true * temperature).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.5, 2.0, 4.0])
def test_the_temperature_is_found_again(temperature: float, classes: int) -> None:
    logits, labels = logits_of(3000, classes, temperature)
    found, about = calibrate(logits, labels)
    assert found == pytest.approx(temperature, rel=0.1)
    assert about.log_loss_after < about.log_loss_before
    assert about.ece_after < 0.02 < about.ece_before
    theirs = torch.nn.functional.cross_entropy(torch.from_numpy(logits).double() / found, torch.from_numpy(labels))
    assert about.log_loss_after == pytest.approx(float(theirs))


def test_what_is_calibrated_is_left_nearly_alone() -> None:
    assert calibrate(*logits_of(3000, 3, 1.0))[0] == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("photos", [1, 2, 5, 20, 300])
def test_where_every_photo_is_right_the_model_does_not_come_to_claim_certainty(photos: int) -> None:
    labels = np.arange(photos) % 2
    logits = np.where(np.arange(2) == labels[:, None], 2.0, 0.0).astype(np.float32)
    temperature, _ = calibrate(logits, labels)
    wrong = 1 - softmax(logits.astype(np.float64) / temperature, axis=1).max(axis=1)
    # One photo more might have been wrong: no less than half of its share is left for that. Of one or two photos
    # nothing is learnt, and the network's own word stands.
    assert wrong.min() > 0.4 / (photos + 1) or (photos <= 2 and temperature == 1)


def test_a_temperature_that_photos_left_out_do_not_bear_out_is_not_taken() -> None:
    """One photo of ten, sure and wrong, asks for a high temperature; without it the others ask for a low one."""
    taken = [calibrate(*logits_of(10, 2, 1.0, seed))[0] for seed in range(40)]
    assert sum(one == 1.0 for one in taken) > 10
    assert all(0.25 <= one <= 8 for one in taken)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    # 0.9: half right, 0.4 off; 0.6: all right, 0.4 off.
    right = probabilities.argmax(axis=1) == np.array([0, 1, 0, 1])
    assert calibration_error(probabilities.max(axis=1), right) == pytest.approx(0.4)
    assert calibration_error(np.ones(2), np.array([True, True])) == 0


@pytest.mark.parametrize(
    ("errors", "photos", "bound"),
    # By scipy.stats.beta.ppf(0.95, errors + 1, photos - errors).
    [(0, 10, 0.258866), (0, 149, 0.019905), (1, 299, 0.015767), (2, 300, 0.020836), (50, 1000, 0.062863), (4, 4, 1.0)],
)
def test_the_bound_of_clopper_and_pearson(errors: int, photos: int, bound: float) -> None:
    from scipy.stats import beta

    assert upper_bound(errors, photos) == pytest.approx(bound, abs=1e-5)
    if errors < photos:
        assert upper_bound(errors, photos) == pytest.approx(beta.ppf(0.95, errors + 1, photos - errors), abs=1e-9)


def answers(confidences: list[float], wrong: list[int]) -> tuple[np.ndarray, np.ndarray]:
    shares = np.array(confidences)
    labels = np.zeros(len(shares), dtype=np.int64)
    labels[wrong] = 1
    return np.stack([shares, 1 - shares], axis=1), labels


def test_the_band_begins_above_the_errors_that_are_too_many() -> None:
    confidences = np.linspace(0.99, 0.55, 300).tolist()
    found = band(*answers(confidences, [299, 298, 290]), target=0.005)
    # One of 291 or more is less than one in two hundred, two of 299 are more.
    assert found.reached
    assert found.errors == 1
    assert found.threshold == pytest.approx((confidences[297] + confidences[298]) / 2)
    assert found.kept == pytest.approx(298 / 300)
    assert found.bound == pytest.approx(upper_bound(1, 298))


def test_by_itself_the_errors_are_halved() -> None:
    wrong = [*range(100, 110), *range(180, 200)]
    found = band(*answers(np.linspace(0.99, 0.55, 200).tolist(), wrong))
    assert found.target == pytest.approx(0.075)
    assert found.errors / (found.kept * 200) <= 0.075
    # One photo more would have been wrong.
    assert (found.errors + 1) / (found.kept * 200 + 1) > 0.075
    assert band(*answers(np.linspace(0.99, 0.55, 200).tolist(), [199])).target == 0.02


def test_no_band_where_all_may_be_answered() -> None:
    found = band(*answers(np.linspace(0.99, 0.55, 200).tolist(), []), target=0.02)
    assert (found.threshold, found.kept, found.reached) == (None, 1.0, True)


def test_what_few_photos_cannot_show_is_not_claimed() -> None:
    few = band(*answers(np.linspace(0.99, 0.55, 49).tolist(), [48]), target=0.02)
    assert (few.threshold, few.reached) == (None, False)
    # The surest is wrong, and one of any number up to 100 is more than asked for.
    some = band(*answers(np.linspace(0.99, 0.55, 80).tolist(), [0]), target=0.01)
    assert some.reached is False
    assert some.bound == pytest.approx(upper_bound(1, 80))


def test_photos_of_one_confidence_are_answered_together() -> None:
    found = band(*answers([0.9] * 100 + [0.8] * 100, [150]), target=0.03)
    assert found.kept in (0.5, 1.0)


def features(photos: int, seed: int, along: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 0.1, (photos, 16)).astype(np.float32)
    found[:, along] += 1
    return found * rng.uniform(0.5, 2, (photos, 1)).astype(np.float32)


def test_novelty_is_the_distance_to_the_fifth_neighbour_on_the_sphere() -> None:
    known, asked = features(50, 0, 0), features(10, 1, 0)
    bank = Bank.of(known)
    units = known / np.linalg.norm(known, axis=1, keepdims=True)
    asked_units = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    distances = np.sort(np.linalg.norm(asked_units[:, None] - units[None], axis=-1), axis=1)[:, 4]
    found = Novelty(bank, scale=2.0)(torch.from_numpy(asked)).numpy()
    # Eight bits are a thousandth or two off.
    assert found == pytest.approx(distances / 2, abs=5e-3)
    other = Novelty(bank)(torch.from_numpy(features(10, 2, 3))).numpy()
    assert other.min() > 2 * found.max()


@pytest.mark.parametrize("photos", [1, 3])
def test_a_bank_of_fewer_photos_than_neighbours(photos: int) -> None:
    bank = Bank.of(features(photos, 0, 0))
    assert bank.neighbours == photos
    assert np.isfinite(Novelty(bank)(torch.zeros(2, 16)).numpy()).all()


def test_the_scale_keeps_nineteen_of_twenty_or_more() -> None:
    for count in (1, 7, 20, 300):
        values = np.random.default_rng(0).random(count).astype(np.float32)
        scale = scale_of(values)
        assert scale is not None
        assert (values <= scale * (1 + 1e-6)).mean() >= 0.95
    assert scale_of(np.zeros(5, np.float32)) is None
    assert scale_of(np.array([], np.float32)) is None


def test_what_is_remembered_is_of_every_class_and_spread_over_it() -> None:
    labels = np.array([0] * 3000 + [1] * 100 + [2] * 5)
    chosen = remembered(labels)
    assert len(chosen) == 1000
    assert chosen == sorted(set(chosen))
    counts = np.bincount(labels[chosen])
    assert counts.tolist() == [895, 100, 5]
    assert np.diff([place for place in chosen if place < 3000]).max() <= 5
    assert remembered(np.array([0, 1, 1])) == [0, 1, 2]
    # Many classes: ten of each.
    many = np.repeat(np.arange(200), 30)
    assert np.bincount(many[remembered(many)]).tolist() == [10] * 200
