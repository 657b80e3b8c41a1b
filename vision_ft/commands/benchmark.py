"""``vision-ft benchmark``: how fast each part of a fit is here, and how near to the slowest part the whole comes."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from vision_ft.commands.console import say
from vision_ft.commands.parsing import parser_for
from vision_ft.errors import ConfigError, ExitCode, ExportMismatch, UsageError
from vision_ft.export.graph import core_of
from vision_ft.export.tail import finished
from vision_ft.machine import Machine, describe, this_machine, versions
from vision_ft.model.translate import Translation
from vision_ft.runtime.engine import OnnxRuntime
from vision_ft.runtime.predictor import BATCH_SIZE, Predictor
from vision_ft.spec import ModelSpec
from vision_ft.train.memory import is_out_of_memory
from vision_ft.train.prepared import Prepared
from vision_ft.train.rates import DECODE, PREPROCESS, Engine, Looks
from vision_ft.train.step_rates import time_training
from vision_ft.train.stopwatch import Rate, Stopwatch

SCHEMA = 1
_SECONDS = 0.5
_PACKAGES = ("torch", "timm", "pytorch-lightning", "onnxruntime", "openvino", "pillow", "albumentations", "numpy")
# A table in a pipe has room for its names.
_WIDE = 140


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options, settings = _parse(verb, args)
    cli = Prepared(["fit", *settings])
    if cli.config["fit"]["ckpt_path"] is not None:
        raise UsageError("--ckpt_path: a benchmark begins where a run does; leave it out")
    errors = Console(stderr=True)
    try:
        with errors.status("") as status:
            watch = Stopwatch(
                options.seconds,
                lambda: torch.cuda.synchronize(cli.device) if cli.device.type == "cuda" else None,
                lambda name: status.update(f"timing: {name}"),
            )
            notes = _time(cli, watch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError("out of memory; see what fits with vision-ft find batch, or lower data.batch_size") from error
    if options.json:
        sys.stdout.write(json.dumps(_record(cli, watch, notes)) + "\n")
    else:
        _show(cli, watch, notes)
        say(Console(), f"next: vision-ft fit {shlex.join(settings)}")
    return ExitCode.DONE


def _parse(verb: str, args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = parser_for(
        verb,
        "Time the parts of a fit on this machine: reading photos, the network in each engine, training steps, "
        "prediction. Takes the settings of fit, and",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, and no table")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for each part, about; default: %(default)s")
    options, settings = parser.parse_known_args(args)
    if not 0 < options.seconds < float("inf"):
        raise UsageError(f"--seconds is {options.seconds:g}, must be more than 0")
    return options, settings


def _time(cli: Prepared, watch: Stopwatch) -> list[str]:
    """Everything; returns what could not be timed, and why."""
    # What is exported is on the CPU, wherever training is.
    on_cpu = cli.device.type == "cpu"
    translation = Translation(cli.model.network if on_cpu else copy.deepcopy(cli.model.network))
    predictor, faults = _predictor(cli, translation)
    cli.model.to(cli.device)
    looks = Looks(cli, watch, translation)
    looks.time_reading()
    looks.time_looking()
    if predictor is not None:
        _time_prediction(watch, looks, predictor)
    return [*looks.notes, *faults, *time_training(cli, watch, translation)]


def _predictor(cli: Prepared, translation: Translation) -> tuple[Predictor | None, list[str]]:
    """The network as it is now, exported."""
    model = cli.model
    spec = ModelSpec(model.classes, model.preprocessing, model.backbone_name, model.origin)
    try:
        graph = finished(core_of(model.network.eval(), translation), spec.temperature, None, 1.0)
    except ExportMismatch as error:
        return None, [f"prediction: {error}"]
    return Predictor(spec, OnnxRuntime(graph)), []


def _time_prediction(watch: Stopwatch, looks: Looks, predictor: Predictor) -> None:
    """The exported model, on photos in memory and on photos in files."""
    engine = Engine("ONNX Runtime, as predict runs it", lambda pixels: predictor.probabilities(pixels.numpy()))
    looks.time_engine(engine, BATCH_SIZE)
    paths = [looks.photos.dataset.path(row) for row in looks.rows]
    parts = (DECODE, PREPROCESS, engine.forward(BATCH_SIZE))
    watch.time("predict", lambda: sum(1 for _ in predictor.stream(paths)), parts)


def _machine(cli: Prepared) -> tuple[Machine, str | None]:
    gpu = torch.cuda.get_device_name(cli.device) if cli.device.type == "cuda" else None
    return this_machine(), gpu


def _record(cli: Prepared, watch: Stopwatch, notes: list[str]) -> dict[str, Any]:
    """What ``--json`` prints; see docs/speed.md."""
    machine, gpu = _machine(cli)
    framing = cli.model.preprocessing.framing
    return {
        "schema": SCHEMA,
        "machine": {**dataclasses.asdict(machine), "gpu": gpu},
        "versions": versions(_PACKAGES),
        "settings": {
            "backbone": cli.model.backbone_name,
            "width": framing.width,
            "height": framing.height,
            "batch_size": cli.datamodule.batch_size,
            "precision": str(cli.trainer.precision),
            "device": str(cli.device),
        },
        "rates": [_rate(watch, rate) for rate in watch.rates.values()],
        "notes": notes,
    }


def _rate(watch: Stopwatch, rate: Rate) -> dict[str, Any]:
    found = dataclasses.asdict(rate)
    if rate.made_of:
        limit, in_turn = watch.limit(rate), watch.in_turn(rate)
        found |= {
            "limit": limit.name,
            "share_of_limit": rate.photos_per_second / limit.photos_per_second,
            "in_turn": in_turn,
            "share_in_turn": rate.photos_per_second / in_turn,
        }
    return found


def _show(cli: Prepared, watch: Stopwatch, notes: list[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    framing = cli.model.preprocessing.framing
    _, gpu = _machine(cli)
    lines = [
        f"{'no GPU' if gpu is None else gpu}; {describe(_PACKAGES)}",
        f"{cli.model.backbone_name} at {framing.width} × {framing.height}, {cli.datamodule.batch_size} photos a batch, "
        f"{cli.trainer.precision}",
    ]
    for line in lines:
        say(console, line)
    single = _table(console, "each part alone", "part", "photos a second", "lowest – highest")
    whole = _table(
        console,
        "put together",
        "what",
        "photos a second",
        "of the slowest part alone",
        "which is",
        "of the parts in turn",
    )
    for rate in watch.rates.values():
        speed, spread = f"{rate.photos_per_second:.1f}", f"{rate.lowest:.1f} – {rate.highest:.1f}"
        if rate.made_of:
            limit = watch.limit(rate)
            share, in_turn = (
                rate.photos_per_second / limit.photos_per_second,
                rate.photos_per_second / watch.in_turn(rate),
            )
            whole.add_row(rate.name, speed, f"{share:.0%}", limit.name, f"{in_turn:.0%}")
        else:
            single.add_row(rate.name, speed, spread)
    console.print(single, whole)
    for note in notes:
        say(console, note)


def _table(console: Console, title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    if not console.is_terminal:
        # Boxes are for eyes.
        table.box = None
    for heading in headings:
        table.add_column(heading, justify="left" if heading in (headings[0], "which is") else "right")
    return table
