"""``vision-ft tune``: a search for better settings."""

from __future__ import annotations

import argparse
import functools
import gc
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from vision_ft.commands.console import say
from vision_ft.commands.parsing import parser_for
from vision_ft.commands.training import until_stopped, within_memory
from vision_ft.commands.tuned import conclude, say_trial
from vision_ft.data.listing import VAL
from vision_ft.errors import ConfigError, ExitCode, UsageError
from vision_ft.model.backbone import takes
from vision_ft.train.prepared import Prepared
from vision_ft.train.run import forget_run
from vision_ft.train.search_folder import alone_in
from vision_ft.train.space import PARTS, PHASES, Space, arguments
from vision_ft.train.stop import Stop
from vision_ft.train.study import Study
from vision_ft.train.trial import Trial

_OUT = Path("tuning")
_TRIALS = 20
# What says where a run lies, what it shows or how it is read, and not how it trains.
_APART = (
    "run.", "cache.", "ckpt_path", "data.root", "data.num_workers", "trainer.logger", "trainer.enable_",
    "trainer.default_root_dir", "trainer.profiler",
)  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    """What is searched, and from where.

    Attributes:
        space: of the settings.
        base: what all trials have in common, by dotted names.
        args: as they were given.
        run: the section of the settings that says where runs lie.
        seed: of the proposals.
        held_out: how many photos decide.
        unreadable: whether some photos could not be read.
    """

    space: Space
    base: dict[str, Any]
    args: list[str]
    run: Any
    seed: int
    held_out: int
    unreadable: bool


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
    parser.add_argument(
        "--epochs",
        type=int,
        help="of a proposed trial at most, where phases are searched; as many as are given if not set",
    )
    parser.add_argument(
        "--search", nargs="+", choices=PARTS, default=PARTS, help=f"what to search; default: {' '.join(PARTS)}"
    )
    parser.add_argument("--out", type=Path, default=_OUT, help=f"the folder of the search; default: {_OUT}")
    options, settings = parser.parse_known_args(args)
    faults = []
    if options.trials < 1:
        faults.append(f"--trials is {options.trials}, must be 1 or more")
    if not options.minutes > 0:
        faults.append(f"--minutes is {options.minutes:g}, must be above 0")
    if options.epochs is not None and options.epochs < 1:
        faults.append(f"--epochs is {options.epochs}, must be 1 or more")
    if options.epochs is not None and PHASES not in options.search:
        faults.append(f"--epochs is for a search of {PHASES}, which --search leaves out")
    if faults:
        raise UsageError("; ".join(faults))
    return options, settings


def _tune(options: argparse.Namespace, settings: list[str], stop: Stop) -> int:
    out: Path = options.out.expanduser()
    with alone_in(out):
        plan = _plan(options, settings)
        study = Study(out, plan.base, plan.seed)
        _search(study, plan, options, stop)
    conclude(study, out, plan.held_out)
    return ExitCode.SOME_UNREADABLE if plan.unreadable else ExitCode.DONE


def _plan(options: argparse.Namespace, settings: list[str]) -> _Plan:
    prepared = Prepared(["fit", *settings])
    fit = prepared.config["fit"]
    space = _space(prepared, options)
    for line in prepared.datamodule.describe():
        say(prepared.console, line)
    manifest = prepared.datamodule.manifest
    base = {name: value for name, value in prepared.flat_settings().items() if not name.startswith(_APART)}
    searched = {"--search": sorted(space.parts), "--epochs": space.epochs, "photos": manifest.fingerprint()}
    return _Plan(
        space=space,
        base={**base, **searched},
        args=settings,
        run=fit["run"],
        seed=int(fit["seed_everything"]),
        held_out=len(manifest.part(VAL)),
        unreadable=manifest.unreadable.height > 0,
    )


def _space(prepared: Prepared, options: argparse.Namespace) -> Space:
    fit = prepared.config["fit"]
    if fit["ckpt_path"] is not None:
        raise UsageError("--ckpt_path: nothing is tried from a checkpoint; give the settings of a run that begins")
    trainer = fit["trainer"]
    if str(trainer["devices"]) not in ("auto", "1") and not _is_one(trainer["devices"]):
        raise ConfigError(f"trainer.devices is {trainer['devices']}; a search uses one device: 1, or [N]")
    if trainer["num_nodes"] != 1:
        raise ConfigError(f"trainer.num_nodes is {trainer['num_nodes']}; a search uses one device")
    if trainer["fast_dev_run"]:
        raise ConfigError("trainer.fast_dev_run: nothing is learnt of settings by a run that scores nothing")
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


def _is_one(devices: Any) -> bool:
    """Whether it names a single device."""
    return isinstance(devices, list) and len(devices) == 1


def _search(study: Study, plan: _Plan, options: argparse.Namespace, stop: Stop) -> None:
    console = Console(stderr=True)
    began = time.monotonic()
    if study.tried:
        say(console, f"going on after {len(study.tried)} trials in {options.out}")
    given = plan.space.as_given(plan.base)
    while len(study.tried) < options.trials and time.monotonic() - began < 60 * options.minutes:
        trial, now = study.next(plan.space, given)
        place = study.place(now.number)
        args = ["fit", *plan.args, *arguments(now.chosen), "--run.folder", str(place.parent), "--run.name", place.name]
        # Cleared once, at the begin of the search, if at all.
        args.append("--cache.clear=false")
        called = (options.out.name, place.name)
        fit = functools.partial(Trial, stop=stop, report=functools.partial(study.report, trial), called=called)
        try:
            with study.may_be_cut_short(trial):
                fitted = within_memory(args, fit)
                study.complete(trial, fitted.trained, fitted.before, fitted.recipe(plan.run))
                del fitted
        except ConfigError as error:
            # Of the settings as given, everything that follows would suffer as well.
            if now.number == 1:
                raise
            study.give_up(trial)
            say(console, f"trial {now.number} could not be run: {error}")
        finally:
            forget_run()
            gc.collect()
            stop.waits = False
        # What was cut short did not come to answer a signal.
        stop.nothing_to_save()
        say_trial(console, study, options.trials)
