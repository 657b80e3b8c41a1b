from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.test_space import space
from vision_ft.errors import ConfigError
from vision_ft.train import search_folder
from vision_ft.train.search_folder import WINNER, alone_in
from vision_ft.train.space import RATES
from vision_ft.train.study import Study
from vision_ft.train.trial import DIVERGED


def losses(found: Study, *, trials: int) -> None:
    """Trials of four epochs each; the lower the rate, the better."""
    while len(found.tried) < trials:
        trial, now = found.next(space(RATES), {"lr": 0.001, "layer_decay": 0.7})
        lr = now.chosen["unfreeze.phases"][0]["lr"] if now.chosen else 0.003
        with found.may_be_cut_short(trial):
            for epoch in (2, 3):
                found.report(trial, epoch, lr / epoch, True)
            found.report(trial, 4, lr / 4, False)
            found.complete(trial, None, None, "")


def test_what_is_worse_than_most_is_cut_short_but_not_the_settings_as_given(tmp_path: Path) -> None:
    found = Study(tmp_path, {}, seed=0)
    losses(found, trials=15)
    cut = [one.number for one in found.tried if one.loss is None]
    assert cut
    # Not before there is something to compare with.
    assert min(cut) > 4
    # None of them was among the better half so far.
    rates = {one.number: one.chosen["unfreeze.phases"][0]["lr"] if one.chosen else 0.003 for one in found.tried}
    for number in cut:
        assert sum(rates[other] < rates[number] for other in rates if other < number and other not in cut) >= 2


def test_trials_that_diverged_win_nothing(tmp_path: Path) -> None:
    found = Study(tmp_path, {}, seed=0)
    losses(found, trials=2)
    assert [one.loss for one in found.tried] == [DIVERGED, DIVERGED]
    assert found.best is None
    assert not (tmp_path / WINNER).exists()


def test_proposals_hang_on_the_seed_and_on_what_was_tried(tmp_path: Path) -> None:
    chosen = []
    for name, seed, parts in (("a", 0, (9,)), ("b", 0, (3, 7, 9)), ("c", 1, (9,))):
        (tmp_path / name).mkdir()
        for trials in parts:
            # Opened anew each time.
            found = Study(tmp_path / name, {}, seed=seed)
            losses(found, trials=trials)
        chosen.append([one.chosen for one in found.tried])
    assert chosen[0] == chosen[1] != chosen[2]


def test_without_optuna_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_folder.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"vision-ft\[tune\]"), alone_in(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()


def test_what_was_given_is_where_proposals_begin(tmp_path: Path) -> None:
    found = Study(tmp_path, {}, seed=0)
    losses(found, trials=2)
    first, second = found.parameters
    assert first == {"lr": 0.001, "layer_decay": 0.7}
    assert second.keys() == first.keys()
