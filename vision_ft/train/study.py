"""A search that is kept in a folder: which settings were tried, how they did, and which come next."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vision_ft.errors import ConfigError
from vision_ft.run_folder import CHECKPOINTS
from vision_ft.train.judging import Scored
from vision_ft.train.search_folder import DATABASE, TABLE, TRIALS, WINNER, replacing
from vision_ft.train.space import Known, Space
from vision_ft.train.trial import DIVERGED, loss_of

if TYPE_CHECKING:
    import optuna

_NAME, _SCORES = "vision-ft", "scores.npz"
# Trials by chance before conclusions are drawn, and trials before one is cut short.
_BY_CHANCE, _BEFORE_PRUNING = 6, 4
# What is written down of a search, and of each of its trials.
_BASE = "base"
_NUMBER, _CHOSEN, _RECIPE, _HEAD = "number", "chosen", "recipe", "head"


@dataclass(frozen=True)
class Tried:
    """A trial, as far as it has come.

    Attributes:
        number: from 1, which has the settings as given.
        chosen: settings by dotted names.
        loss: the lowest validation log-loss of weights that were trained in it; ``None`` where it was cut short.
        head: the validation log-loss of what the training began with.
        seconds: that it took.
    """

    number: int
    chosen: Mapping[str, Any]
    loss: float | None
    head: float | None
    seconds: float


class Study:
    """Trials of settings, one after the other.

    The settings as given come first. Then the tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for
    hyper-parameter optimization", as Optuna has it) proposes others, and a trial is cut short where it does worse after
    an epoch than the median of the others did there. A trial that the search was ended in the middle of is made anew,
    and the search goes on as if it had not been ended.
    """

    def __init__(self, folder: Path, base: Mapping[str, Any], seed: int) -> None:
        """Open what is in the folder, or begin.

        Args:
            folder: of the search, with :func:`alone_in` around.
            base: what all trials have in common, by dotted names; the same when a search goes on.
            seed: of the proposals.

        Raises:
            ConfigError: the folder's search is of other settings or other photos, or is none.
        """
        import optuna
        from sqlalchemy import URL

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        self._states = optuna.trial.TrialState
        self._folder = folder
        self._seed = seed
        database = folder / DATABASE
        try:
            self._study = optuna.create_study(
                storage=URL.create("sqlite", database=str(database.resolve())).render_as_string(),
                study_name=_NAME,
                load_if_exists=True,
                direction="minimize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING),
            )
        except Exception as error:
            # Of the kinds of whichever library is below.
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError(f"--out: {str(database)!r} cannot be used: {reason}; name a new folder") from error
        now = json.loads(json.dumps(dict(base)))
        before = self._study.user_attrs.get(_BASE, now)
        if differences := _differences(before, now):
            raise ConfigError(
                f"--out: the search in {str(folder)!r} was begun with other settings: {'; '.join(differences)}; give "
                "those again, or name a new folder"
            )
        self._study.set_user_attr(_BASE, now)
        self._make_unfinished_anew()
        self._tidy()

    def _make_unfinished_anew(self) -> None:
        """Let what was under way when the search was ended be the next that is tried."""
        for trial in self._study.get_trials(states=[self._states.RUNNING]):
            self._study.tell(trial.number, state=self._states.FAIL)
            if trial.params:
                self._study.enqueue_trial(trial.params)

    @property
    def tried(self) -> list[Tried]:
        """The trials that are over, in their order."""
        return [_tried(trial) for trial in self._over()]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """What was chosen for each of them, by the names of the search; of the first, as far as it can be said so."""
        return [dict(trial.params) for trial in self._over()]

    @property
    def best(self) -> Tried | None:
        """The one with the lowest loss; ``None`` where all diverged or were cut short."""
        whole = [one for one in self.tried if one.loss is not None and one.loss < DIVERGED]
        return min(whole, key=lambda one: one.loss or 0.0, default=None)

    def next(self, space: Space, given: Mapping[str, Any]) -> tuple[optuna.trial.Trial, Tried]:
        """Choose the settings of another trial.

        Args:
            space: what to choose from.
            given: what :meth:`Space.as_given` says of the settings that come first.
        """
        number = len(self._over()) + 1
        # From the number alone, so that a search that was ended goes on with the proposals it would have come to.
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=_BY_CHANCE)
        if number == 1:
            self._study.enqueue_trial(dict(given), skip_if_exists=True)
        trial = self._study.ask()
        if number == 1:
            space.choose(Known(trial, given))
        chosen = {} if number == 1 else space.choose(trial)
        trial.set_user_attr(_NUMBER, number)
        trial.set_user_attr(_CHOSEN, chosen)
        # Of the same number, and ended in the middle.
        shutil.rmtree(self.place(number), ignore_errors=True)
        return trial, Tried(number, chosen, None, None, 0.0)

    def place(self, number: int) -> Path:
        """The folder of a trial."""
        return self._folder / TRIALS / f"{number:04d}"

    def report(self, trial: optuna.trial.Trial, epochs: int, loss: float, more: bool) -> None:
        """Take note of how a trial does after some epochs.

        Args:
            trial: from :meth:`next`.
            epochs: that are done.
            loss: of validation.
            more: whether others would follow, that could be spared.

        Raises:
            TrialPruned: it is to be cut short.
        """
        trial.report(loss, epochs)
        # What the others are measured against goes to its end.
        if more and trial.user_attrs[_NUMBER] > 1 and trial.should_prune():
            raise self._optuna.TrialPruned

    @contextlib.contextmanager
    def may_be_cut_short(self, trial: optuna.trial.Trial) -> Iterator[None]:
        """End the block where :meth:`report` says so."""
        try:
            yield
        except self._optuna.TrialPruned:
            self._study.tell(trial, state=self._states.PRUNED)
        self._tidy()

    def give_up(self, trial: optuna.trial.Trial) -> None:
        """Take note of a trial whose settings cannot be trained with here."""
        self._study.tell(trial, state=self._states.PRUNED)
        self._tidy()

    def complete(self, trial: optuna.trial.Trial, scored: Scored | None, head: Scored | None, recipe: str) -> None:
        """Take note of how a trial did that came to its end.

        Args:
            trial: from :meth:`next`.
            scored: how the best of what was trained does on the validation photos.
            head: how what the training began with does.
            recipe: its settings as YAML.
        """
        if scored is not None:
            place = self.place(trial.user_attrs[_NUMBER]) / _SCORES
            np.savez_compressed(place, losses=scored.losses.numpy(), right=scored.right.numpy())
        trial.set_user_attr(_HEAD, None if head is None else loss_of(head))
        trial.set_user_attr(_RECIPE, recipe)
        self._study.tell(trial, DIVERGED if scored is None else loss_of(scored))

    def scores(self, tried: Tried) -> Scored | None:
        """How a trial did, photo by photo; ``None`` where that is gone."""
        place = self.place(tried.number) / _SCORES
        if not place.is_file():
            return None
        with np.load(place) as arrays:
            return Scored(torch.from_numpy(arrays["losses"]), torch.from_numpy(arrays["right"]))

    def _tidy(self) -> None:
        """Bring the table and the winner up to date, and drop the weights of all but the best."""
        best = self.best
        for one in self.tried:
            if best is None or one.number != best.number:
                for checkpoints in self.place(one.number).glob(f"*/{CHECKPOINTS}"):
                    shutil.rmtree(checkpoints)
        names = sorted({name for chosen in self.parameters for name in chosen})
        with replacing(self._folder / TABLE) as file:
            table = csv.writer(file)
            table.writerow(["trial", "log_loss", "seconds", *names])
            for one, chosen in zip(self.tried, self.parameters, strict=True):
                known = [_shown(chosen.get(name, "")) for name in names]
                table.writerow([one.number, "" if one.loss is None else one.loss, round(one.seconds, 1), *known])
        if best is not None:
            recipe = next(trial for trial in self._over() if trial.user_attrs[_NUMBER] == best.number)
            with replacing(self._folder / WINNER) as file:
                file.write(
                    f"# Trial {best.number} of {len(self.tried)}: validation log-loss {best.loss:.4f}, the lowest.\n"
                    f"{recipe.user_attrs[_RECIPE]}"
                )

    def _over(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=[self._states.COMPLETE, self._states.PRUNED])


def _tried(trial: optuna.trial.FrozenTrial) -> Tried:
    pruned = trial.state.name == "PRUNED"
    seconds = 0.0 if trial.duration is None else trial.duration.total_seconds()
    about = trial.user_attrs
    return Tried(about[_NUMBER], about[_CHOSEN], None if pruned else trial.value, about.get(_HEAD), seconds)


def _shown(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} is {json.dumps(now.get(name))}, there {json.dumps(before.get(name))}" for name in names]
