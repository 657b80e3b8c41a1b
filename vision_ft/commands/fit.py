"""``vision-ft fit``, ``validate`` and ``test``."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Sequence

from rich.console import Console

from vision_ft.commands.console import say
from vision_ft.commands.training import until_stopped, within_memory
from vision_ft.data.listing import TRAIN
from vision_ft.errors import ConfigError, ExitCode
from vision_ft.model.checkpoint import read_checkpoint
from vision_ft.train.cli import VisionCLI
from vision_ft.train.run import RunFolder
from vision_ft.train.stop import Stop


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb; after ``fit``, export the best checkpoint."""
    return until_stopped(lambda stop: _fit(verb, args, stop))


def _fit(verb: str, args: Sequence[str], stop: Stop) -> int:
    started = time.monotonic()
    cli = within_memory([verb, *args], lambda given: VisionCLI(given, stop))
    if not cli.trainer.is_global_zero:
        return ExitCode.DONE
    if verb == "fit" and cli.folder is not None:
        if not cli.config["fit"]["trainer"]["fast_dev_run"]:
            _finish(cli, cli.folder, started)
    elif verb != "fit":
        if verb == "test":
            from vision_ft.commands.testing import report_test

            report_test(cli)
        say(Console(), f"next: vision-ft export {shlex.quote(str(cli.trainer.ckpt_path))}")
    unreadable = cli.datamodule.manifest.unreadable.height or cli.model.unreadable
    return ExitCode.SOME_UNREADABLE if unreadable else ExitCode.DONE


def _finish(cli: VisionCLI, folder: RunFolder, started: float) -> None:
    # A second or two to import, which nobody should wait for before the photos are read.
    from vision_ft.commands.handover import hand_over, show
    from vision_ft.commands.testing import report_on

    console = Console()
    _check_best(folder)
    if cli.selection is not None:
        say(cli.console, cli.selection.verdict())
    say(cli.console, "exporting it and measuring the export")
    golden, manifest = cli.datamodule.golden(), cli.datamodule.manifest
    handed = hand_over(folder.best, folder.bundle, manifest, golden, cli.translation, cli.export, cli.cache)
    for path, reason in cli.model.unreadable.items():
        say(console, f"could not be read while training: {path}: {reason}")
    show(handed, console)
    if handed.measured is not None:
        say(cli.console, "drawing the report")
        record = report_on(folder, handed.measured, cli.datamodule.manifest.root, handed.network, started)
        say(console, record["verdict"])
        say(console, f"report: {folder.report}")
    latest = folder.path.parent / "latest" / folder.bundle.name
    say(console, f"bundle: {folder.bundle}")
    say(console, f"next: vision-ft predict {shlex.quote(str(latest))} {_an_example(cli)}")


def _check_best(folder: RunFolder) -> None:
    """Refuse to hand over what has diverged."""
    chosen = read_checkpoint(folder.best)[0].chosen if folder.best.is_file() else {}
    score = float(chosen.get("log_loss", math.nan))
    if not math.isfinite(score):
        raise ConfigError(
            f"the training diverged: its best validation log-loss is {score}; lower the rates of unfreeze"
        )


def _an_example(cli: VisionCLI) -> str:
    manifest = cli.datamodule.manifest
    # A manifest names its photos from where it lies, which may be up and down again.
    return shlex.quote(os.path.normpath(manifest.paths(manifest.part(TRAIN))[0]))
