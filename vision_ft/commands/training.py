"""What commands that train have in common: what is done where memory is short, and where they are told to end."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console

from vision_ft.commands.console import say
from vision_ft.errors import ExitCode
from vision_ft.train.cli import VisionCLI
from vision_ft.train.memory import BatchTooLarge
from vision_ft.train.run import forget_run
from vision_ft.train.stop import Stop

_CLI = TypeVar("_CLI", bound=VisionCLI)


def until_stopped(run: Callable[[Stop], int]) -> int:
    """Run, and answer Ctrl-C and SIGTERM."""
    stop = Stop()
    try:
        with stop.listening():
            return run(stop)
    except SIGTERMException:
        # There is nothing to explain to whoever sent it.
        return ExitCode.TERMINATED
    except SystemExit as end:
        # Lightning answers Ctrl-C with an exit of its own.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from end
        raise
    finally:
        forget_run()


def within_memory(args: list[str], run: Callable[[list[str]], _CLI]) -> _CLI:
    """Run; where a batch does not fit into memory, go on with a smaller one."""
    while True:
        try:
            return run(args)
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
