"""``vision-ft tune``: a search for better settings."""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from vision_ft.commands.console import say
from vision_ft.commands.parsing import parser_for
from vision_ft.commands.training import until_stopped, within_memory
from vision_ft.data.listing import VAL
from vision_ft.errors import ConfigError, ExitCode, UsageError
from vision_ft.model.backbone import takes
from vision_ft.train.prepared import Prepared
from vision_ft.train.run import forget_run
from vision_ft.train.search_folder import TABLE, WINNER, alone_in
from vision_ft.train.space import PARTS, Space, arguments
from vision_ft.train.stop import Stop
from vision_ft.train.study import Study, Tried
from vision_ft.train.trial import Trial

_OUT = Path("tuning")
_TRIALS = 20
# Sections that say where a run lies or what it shows, and not how it trains.
_APART = ("run.", "ckpt_path")


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options, settings = _parse(verb, args)
    return until_stopped(lambda stop: _tune(options, settings, stop))


def _parse(verb: str, args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = parser_for(
        verb,
        "Fit again and again with other settings, and keep those with the lowest validation log-loss. Begun again with "
        "the same settings, it goes on where it was ended. Takes the settings of fit, and",
    )
    parser.add_argument("--trials", type=int, default=_TRIALS, help=f"in all, the first as given; default: {_TRIALS}")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no trial begins later; default: no limit")
    parser.add_argument("--epochs", type=int, help="of a trial at most; as many as are given if not set")
    parser.add_argument(
        "--search", nargs="+", choices=PARTS, default=PARTS, help=f"what to search; default: {' '.join(PARTS)}"
    )
    parser.add_argument("--out", type=Path, default=_OUT, help=f"the folder of the search; default: {_OUT}")
    options, settings = parser.parse_known_args(args)
    if options.trials < 1:
        raise UsageError(f"--trials is {options.trials}, must be 1 or more")
    if not options.minutes > 0:
        raise UsageError(f"--minutes is {options.minutes:g}, must be above 0")
    if options.epochs is not None and options.epochs < 1:
        raise UsageError(f"--epochs is {options.epochs}, must be 1 or more")
    return options, settings


def _tune(options: argparse.Namespace, settings: list[str], stop: Stop) -> int:
    out: Path = options.out.expanduser()
    with contextlib.ExitStack() as search:
        search.enter_context(alone_in(out))
        prepared = Prepared(["fit", *settings])
        space = _space(prepared, options)
        base = _base(prepared, space)
        held_out = len(prepared.datamodule.manifest.part(VAL))
        run, seed = prepared.config["fit"]["run"], int(prepared.config["fit"]["seed_everything"])
        for line in prepared.datamodule.describe():
            say(prepared.console, line)
        del prepared
        study = Study(out, base, seed)
        _search(study, space, space.as_given(base), options, settings, run, stop)
    return _conclude(study, out, held_out)


def _space(prepared: Prepared, options: argparse.Namespace) -> Space:
    fit = prepared.config["fit"]
    if fit["ckpt_path"] is not None:
        raise UsageError("--ckpt_path: nothing is tried from a checkpoint; give the settings of a run that begins")
    given = prepared.schedule.phases
    if not given:
        raise ConfigError(
            "unfreeze.phases is empty: the head is solved for, and there is no phase to begin a search with"
        )
    return Space(
        parts=frozenset(options.search),
        given=given,
        stages=len(prepared.model.network.stages),
        epochs=sum(phase.epochs for phase in given) if options.epochs is None else options.epochs,
        drop_path=takes(fit["model"]["backbone"], drop_path_rate=0.1),
    )


def _base(prepared: Prepared, space: Space) -> dict[str, Any]:
    """What makes a search the same search."""
    return {
        **{name: value for name, value in prepared.flat_settings().items() if not name.startswith(_APART)},
        "--search": sorted(space.parts),
        "--epochs": space.epochs,
        "photos": prepared.datamodule.manifest.fingerprint(),
    }


def _search(
    study: Study,
    space: Space,
    given: Mapping[str, Any],
    options: argparse.Namespace,
    settings: list[str],
    run: Any,
    stop: Stop,
) -> None:
    console = Console(stderr=True)
    began = time.monotonic()
    if study.tried:
        say(console, f"going on after {len(study.tried)} trials in {options.out}")
    while len(study.tried) < options.trials and time.monotonic() - began < 60 * options.minutes:
        trial, now = study.next(space, given)
        place = study.place(now.number)
        args = ["fit", *settings, *arguments(now.chosen)]
        args += ["--run.folder", str(place.parent), "--run.name", place.name]
        report = functools.partial(study.report, trial)
        with study.may_be_cut_short(trial):
            try:
                fitted = within_memory(args, functools.partial(Trial, stop=stop, report=report))
                study.complete(trial, fitted.trained, fitted.recipe(run))
                del fitted
            finally:
                forget_run()
                gc.collect()
        _say(console, study, options.trials)


def _say(console: Console, study: Study, trials: int) -> None:
    done, best = study.tried[-1], study.best
    how = "cut short" if done.loss is None else f"val loss {done.loss:.4f}"
    lowest = "" if best is None else f", lowest {best.loss:.4f}"
    what = _in_words(done)
    say(console, f"trial {done.number}/{trials}: {how}{lowest}  ({done.seconds:.0f} s)  {what}")


def _in_words(tried: Tried) -> str:
    if not tried.chosen:
        return "as given"
    words = []
    for name, value in tried.chosen.items():
        if name == "unfreeze.phases":
            words += [
                f"{phase['stages']} stages for {phase['epochs']} at {phase['lr']:g} × {phase['layer_decay']:g}"
                for phase in value
            ]
        elif value:
            words.append(f"{name.partition('.')[2]} {value}")
    return ", ".join(words)


def _conclude(study: Study, out: Path, held_out: int) -> int:
    console = Console()
    tried, best = study.tried, study.best
    if best is None:
        raise ConfigError("no trial came to an end with a loss that is a number; lower the rates of unfreeze")
    cut = sum(one.loss is None for one in tried)
    say(console, f"{len(tried)} trials, of which {cut} were cut short; all of them are in {out / TABLE}")
    say(console, f"lowest: trial {best.number}: val loss {best.loss:.4f}: {_in_words(best)}")
    first, scores = study.scores(tried[0]), study.scores(best)
    if best.number == 1:
        say(console, "nothing that was tried did better than the settings as given")
    elif first is not None and scores is not None:
        mean, low, high = scores.gain(first)
        clear = "" if low > 0 else ": no clear difference"
        say(
            console,
            f"{mean:.4f} below the settings as given, whose log-loss is {first.log_loss:.4f} (95 % interval of the "
            f"difference {low:.4f} to {high:.4f}{clear})",
        )
    if len(tried) > 1:
        say(
            console,
            f"the lowest of {len(tried)} on the same {held_out} photos flatters itself; what it is worth, the test "
            "part of a fit says",
        )
    say(console, f"next: vision-ft fit --config {shlex.quote(str(out / WINNER))}")
    return ExitCode.DONE
