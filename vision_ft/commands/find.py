"""``vision-ft find lr`` and ``find batch``: settings tried out, phase by phase, before a run."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vision_ft.commands.console import say
from vision_ft.commands.parsing import parser_for
from vision_ft.data.listing import TRAIN
from vision_ft.errors import ConfigError, ExitCode, UsageError
from vision_ft.train.figures import draw_rates
from vision_ft.train.finder import BatchSize, Rates, best_batch, try_batches, try_rates
from vision_ft.train.memory import is_out_of_memory
from vision_ft.train.prepared import Prepared

_RATES_OUT = Path("rates")
_STEPS, _MOST = 100, 1024


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options, settings = _parse(verb, args)
    out: Path | None = getattr(options, "out", None)
    if out is not None and out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise UsageError(f"--out: {str(out)!r} is there already; name a new folder, or remove that one")
    try:
        return _find(options, settings, out)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError("out of memory; see what fits with vision-ft find batch, or lower data.batch_size") from error


def _find(options: argparse.Namespace, settings: list[str], out: Path | None) -> int:
    cli = Prepared(["fit", *settings])
    if cli.config["fit"]["ckpt_path"] is not None:
        raise UsageError("--ckpt_path: nothing is tried from a checkpoint; give the settings of a run that begins")
    if not cli.schedule.phases:
        raise ConfigError("unfreeze.phases is empty: the head is solved for, and there is no phase to try anything in")
    console = Console()
    if out is None:
        _batches(cli, options.most, console)
    else:
        _rates(cli, options.steps, out, console)
    return ExitCode.DONE


def _parse(verb: str, args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    about = {
        "find lr": "Raise the learning rate step by step in each phase and watch the training loss. Takes the settings "
        "of fit, and",
        "find batch": "Train a few steps with ever larger batches in each phase. Takes the settings of fit, and",
    }
    parser = parser_for(verb, about[verb])
    if verb == "find lr":
        parser.add_argument("--steps", type=int, default=_STEPS, help=f"in each phase; default: {_STEPS}")
        parser.add_argument("--out", type=Path, default=_RATES_OUT, help="a new folder for the figure and the table")
    else:
        parser.add_argument("--most", type=int, default=_MOST, help=f"photos a batch at most; default: {_MOST}")
    options, settings = parser.parse_known_args(args)
    number, name = (options.steps, "--steps") if verb == "find lr" else (options.most, "--most")
    fewest = 10 if verb == "find lr" else 2
    if number < fewest:
        raise UsageError(f"{name} is {number}, must be {fewest} or more")
    return options, settings


def _rates(cli: Prepared, steps: int, out: Path, console: Console) -> None:
    found: list[Rates] = []
    for one in try_rates(cli, steps):
        found.append(one)
        found_at = "does not fall at any rate" if one.suggested is None else f"falls fastest at {one.suggested:.1e}"
        say(console, f"phase {one.phase}: the loss {found_at}; configured is {one.configured:g}")
    out.mkdir(parents=True, exist_ok=True)
    with (out / "rates.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["phase", "lr", "loss_less_untrained"])
        table.writerows((one.phase, *row) for one in found for row in zip(one.rates, one.losses, strict=True))
    draw_rates(found, out / "rates.png")
    say(console, f"figure: {out / 'rates.png'}")
    say(console, "a third to a tenth of the rate where the loss falls fastest is a good one to begin with")


def _batches(cli: Prepared, most: int, console: Console) -> None:
    found: list[BatchSize] = []
    table = Table(title="training steps alone, without reading photos", title_justify="left")
    for heading in ("phase", "photos a batch", "photos a second", "memory"):
        table.add_column(heading, justify="right")
    # A batch of more photos than there are would not be one.
    for one in try_batches(cli, min(most, len(cli.datamodule.manifest.part(TRAIN)))):
        found.append(one)
        speed = "does not fit" if one.photos_per_second is None else f"{one.photos_per_second:.1f}"
        memory = "" if one.memory is None else f"{one.memory / 2**20:.0f} MB"
        table.add_row(str(one.phase), str(one.photos), speed, memory)
    console.print(table)
    best = best_batch(found)
    if best is None:
        raise ConfigError("not even two photos a batch fit into memory; set a smaller model.image_size")
    say(console, f"the smallest that is nearly as fast as the fastest: --data.batch_size {best}")
