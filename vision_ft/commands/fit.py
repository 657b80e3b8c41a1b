"""``vision-ft fit``, ``validate`` and ``test``."""

from __future__ import annotations

import gc
import math
import os
import shlex
from collections.abc import Sequence

import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console

from vision_ft.commands.console import say
from vision_ft.commands.handover import hand_over, show
from vision_ft.data.listing import TRAIN
from vision_ft.errors import ConfigError, ExitCode
from vision_ft.model.checkpoint import read_checkpoint
from vision_ft.train.cli import VisionCLI
from vision_ft.train.memory import BatchTooLarge
from vision_ft.train.run import RunFolder, forget_run
from vision_ft.train.stop import Stop


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb; after ``fit``, export the best checkpoint."""
    try:
        return _run(verb, args)
    finally:
        forget_run()


def _run(verb: str, args: Sequence[str]) -> int:
    stop = Stop()
    try:
        with stop.listening():
            return _fit(verb, args, stop)
    except SIGTERMException:
        # There is nothing to explain to whoever sent it.
        return ExitCode.TERMINATED
    except SystemExit as end:
        # Lightning answers Ctrl-C with an exit of its own.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from end
        raise


def _fit(verb: str, args: Sequence[str], stop: Stop) -> int:
    cli = _with_what_memory_there_is([verb, *args], stop)
    if not cli.trainer.is_global_zero:
        return ExitCode.DONE
    if verb == "fit" and cli.folder is not None:
        if not cli.config["fit"]["trainer"]["fast_dev_run"]:
            _finish(cli, cli.folder)
    elif verb != "fit":
        say(Console(), f"next: vision-ft export {shlex.quote(str(cli.trainer.ckpt_path))}")
    unreadable = cli.datamodule.manifest.unreadable.height or cli.model.unreadable
    return ExitCode.SOME_UNREADABLE if unreadable else ExitCode.DONE


def _with_what_memory_there_is(args: list[str], stop: Stop) -> VisionCLI:
    """Run; where a batch does not fit into memory, go on with a smaller one."""
    while True:
        try:
            return VisionCLI(args, stop)
        except BatchTooLarge as error:
            # And no more of it: its traceback holds on to the very things that memory is short of.
            more, photos, together = error.arguments(), error.batch_size, error.accumulate
        args = [*args, *more]
        say(
            Console(stderr=True),
            f"out of memory: going on with {photos} photos a batch, of which {together} make a step, so that it sees "
            "as many photos as before",
        )
        forget_run()
        gc.collect()
        torch.cuda.empty_cache()


def _finish(cli: VisionCLI, folder: RunFolder) -> None:
    console = Console()
    _check_best(folder)
    if cli.selection is not None:
        say(cli.console, cli.selection.verdict())
    say(cli.console, "exporting it and measuring the export")
    handed = hand_over(folder.best, folder.bundle, cli.datamodule.manifest, cli.datamodule.golden())
    for path, reason in cli.model.unreadable.items():
        say(console, f"could not be read while training: {path}: {reason}")
    show(handed, console)
    if handed.measured is not None:
        handed.measured.predictions.write_csv(folder.predictions)
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
