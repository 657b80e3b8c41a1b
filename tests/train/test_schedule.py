from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_ft.errors import ConfigError
from vision_ft.train.schedule import Gradual, Phase, Schedule

STAGES = ("stem", "blocks.0", "blocks.1", "blocks.2", "head")


def test_phases_by_hand() -> None:
    schedule = Schedule(
        [Phase(2, ["head"], 1e-2), Phase(1, 2, 1e-3, layer_decay=0.5), Phase(1, "all", 1e-4, layer_decay=0.1)], STAGES
    )
    assert schedule.epochs == 4
    assert schedule.at(0).rates == schedule.at(1.99).rates == {"head": 1e-2}
    assert schedule.at(2).rates == pytest.approx({"head": 1e-3, "blocks.2": 5e-4})
    assert schedule.at(3.5).rates == pytest.approx(
        {"head": 1e-4, "blocks.2": 1e-5, "blocks.1": 1e-6, "blocks.0": 1e-7, "stem": 1e-8}
    )
    assert [schedule.at(epoch).phase for epoch in (0, 1, 2, 3, 10)] == [0, 0, 1, 2, 2]


def test_stages_by_name_in_any_order() -> None:
    schedule = Schedule([Phase(1, ["blocks.2", "head", "stem"], 1.0, layer_decay=0.5)], STAGES)
    assert schedule.at(0).rates == {"head": 1.0, "blocks.2": 0.5, "stem": 0.25}


def test_a_rate_rises_and_falls_within_its_phase() -> None:
    schedule = Schedule([Phase(10, 1, 1.0, warmup=0.1, final_lr=0.2)], STAGES)
    rates = [schedule.at(moment).rates["head"] for moment in (0.25, 0.5, 1.0, 5.5, 10.0, 99.0)]
    assert rates == pytest.approx([0.25, 0.5, 1.0, 0.6, 0.2, 0.2])


def test_the_rule_unfreezes_one_stage_every_k_epochs() -> None:
    rule = Gradual(head_epochs=3, every=2, head_lr=1.0, lr=0.1, layer_decay=0.5, until=3, final_epochs=4)
    schedule = Schedule(rule.phases(len(STAGES)), STAGES)
    trained = [len(schedule.at(epoch).rates) for epoch in range(schedule.epochs)]
    assert trained == [1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4]
    assert len(Schedule(Gradual().phases(len(STAGES)), STAGES).at(0).rates) == 2
    assert len(Schedule(Gradual().phases(len(STAGES), head_fitted=False), STAGES).at(0).rates) == 1
    assert schedule.at(9).rates["head"] < schedule.at(8).rates["head"] <= 0.1


def test_the_rule_stops_at_three_stages_or_goes_down_to_the_stem() -> None:
    some, every = (Schedule(Gradual(until=until).phases(len(STAGES)), STAGES) for until in (Gradual().until, None))
    assert set(some.at(99).rates) == set(STAGES) - {"stem"}
    assert set(every.at(99).rates) == set(STAGES)


def test_the_rule_suits_a_network_of_a_body_and_a_head() -> None:
    schedule = Schedule(Gradual().phases(2), ("body", "head"))
    assert set(schedule.at(99).rates) == {"body", "head"}


@given(st.integers(0, 3), st.integers(1, 3), st.one_of(st.none(), st.integers(1, 9)), st.floats(0, 40))
def test_what_trains_only_ever_grows_under_the_rule(
    head_epochs: int, every: int, until: int | None, moment: float
) -> None:
    schedule = Schedule(Gradual(head_epochs=head_epochs, every=every, until=until).phases(len(STAGES)), STAGES)
    now, later = schedule.at(moment).rates, schedule.at(moment + 1).rates
    assert set(now) <= set(later)
    assert next(iter(now)) == "head"
    assert all(rate >= 0 for rate in now.values())


def test_every_fault_of_every_phase_at_once_with_the_stages_there_are() -> None:
    phases = [
        Phase(0, ["heed"], 0.0),
        Phase(1, [], 1e-3, layer_decay=1.5),
        Phase(1, 9, 1e-3, warmup=1.0, final_lr=-1),
        Phase(1, ["head", "head"], float("nan")),
    ]
    with pytest.raises(ConfigError) as caught:
        Schedule(phases, STAGES)
    message = str(caught.value)
    for words in (
        "phases[0]: no stage 'heed' (did you mean 'head'?)",
        "phases[0]: epochs is 0",
        "phases[0]: lr is 0",
        "phases[1]: names no stage",
        "phases[1]: layer_decay is 1.5",
        "phases[2]: stages is 9, must be between 1 and 5",
        "phases[2]: warmup is 1",
        "phases[2]: final_lr is -1",
        "phases[3]: names 'head' twice",
        "phases[3]: lr is nan",
        "stem, blocks.0, blocks.1, blocks.2, head",
    ):
        assert words in message


def test_without_phases_nothing_trains() -> None:
    schedule = Schedule([], STAGES)
    assert (schedule.epochs, schedule.at(0).rates, schedule.begins()) == (0, {}, [0])


def test_a_phase_ends_early_where_the_loss_stops_falling() -> None:
    schedule = Schedule([Phase(5, 1, 1.0), Phase(4, 2, 0.1, final_lr=0.0), Phase(3, 3, 0.01)], STAGES, patience=2)
    assert schedule.epochs == 12
    assert schedule.begins([]) == [0, 5, 9, 12]
    losses = [0.5, 0.4, 0.4, 0.45]
    # The second epoch was the last that was better, the fourth the second that was not.
    assert schedule.begins(losses[:3]) == [0, 5, 9, 12]
    assert schedule.begins(losses) == [0, 4, 8, 11]
    assert [schedule.at(epoch, losses).phase for epoch in (3, 4, 7, 8)] == [0, 1, 1, 2]
    # Its rates fall along its own length, from where it began.
    assert schedule.at(4, losses).rates["head"] == pytest.approx(0.1)
    assert schedule.at(6, losses).rates["head"] == pytest.approx(0.05)
    # A phase looks at its own epochs alone: 0.9 is the lowest of the second.
    assert schedule.begins([*losses, 0.9, 0.95, 0.91]) == [0, 4, 7, 10]
    assert schedule.begins([*losses, 0.9, 0.95, 0.91, 0.3, 0.3, 0.3]) == [0, 4, 7, 10]


def test_losses_are_of_no_account_without_patience() -> None:
    assert Schedule([Phase(3, 1, 1.0)], STAGES).begins([0.1, 0.2, 0.3]) == [0, 3]


@given(st.lists(st.floats(0, 9), max_size=12), st.integers(1, 3))
def test_what_was_decided_once_stays_decided(losses: list[float], patience: int) -> None:
    """The phase of an epoch does not change with the losses of later ones, or a resumed run would be elsewhere."""
    schedule = Schedule([Phase(3, 1, 1.0), Phase(2, 2, 1.0), Phase(4, 3, 1.0)], STAGES, patience)
    for epoch in range(len(losses) + 1):
        assert schedule.at(epoch, losses[:epoch]) == schedule.at(epoch, losses)


def test_the_schedule_says_what_it_does() -> None:
    schedule = Schedule([Phase(2, 1, 3e-3), Phase(1, 2, 2e-4)], STAGES)
    assert schedule.describe() == ["epochs 1 to 2: head at 0.003", "epoch 3: head, blocks.2 at 0.0002"]


def test_every_shipped_config_is_parsed() -> None:
    """Through the real command line, up to where photos are needed."""
    from vision_ft.train.cli import VisionCLI

    configs = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
    assert len(configs) >= 2
    for config in configs:
        with pytest.raises(Exception, match=r"no folder 'nothing here'"):
            VisionCLI(["fit", "--config", str(config), "--data.root", "nothing here"])
