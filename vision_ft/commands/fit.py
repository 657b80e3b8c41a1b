"""``vision-ft fit``, ``validate`` and ``test``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console

from vision_ft.commands.handover import hand_over, show
from vision_ft.errors import ConfigError, ExitCode
from vision_ft.model.checkpoint import read_checkpoint
from vision_ft.train.cli import VisionCLI
from vision_ft.train.run import RunFolder


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb; after ``fit``, export the best checkpoint."""
    try:
        cli = VisionCLI([verb, *args])
    except MisconfigurationException as error:
        # Lightning's own word for settings that do not go together, such as a GPU on a machine without one.
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    except SIGTERMException:
        # Lightning noticed it between two steps; there is nothing to explain to whoever sent it.
        return ExitCode.TERMINATED
    except SystemExit as stop:
        # Lightning answers Ctrl-C with an exit of its own.
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stop
        raise
    if not cli.trainer.is_global_zero:
        return ExitCode.DONE
    if verb == "fit" and cli.folder is not None and cli.folder.best.is_file():
        _finish(cli, cli.folder)
    elif verb != "fit":
        _say(Console(), f"next: vision-ft export {shlex.quote(str(cli.trainer.ckpt_path))}")
    unreadable = cli.datamodule.manifest.unreadable.height or cli.model.unreadable
    return ExitCode.SOME_UNREADABLE if unreadable else ExitCode.DONE


def _finish(cli: VisionCLI, folder: RunFolder) -> None:
    console = Console()
    record, _ = read_checkpoint(folder.best)
    _say(cli.console, f"epoch {record.epoch} has the lowest validation log-loss; exporting it and measuring the export")
    handed = hand_over(folder.best, folder.bundle, cli.datamodule.manifest)
    for path, reason in cli.model.unreadable.items():
        _say(console, f"could not be read while training: {path}: {reason}")
    show(handed, console)
    if handed.measured is not None:
        handed.measured.predictions.write_csv(folder.predictions)
    latest = folder.path.parent / "latest" / folder.bundle.name
    _say(console, f"bundle: {folder.bundle}")
    _say(console, f"next: vision-ft predict {shlex.quote(str(latest))} {_an_example(cli)}")


def _say(console: Console, line: str) -> None:
    """A line as it is: paths are neither coloured nor broken."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _an_example(cli: VisionCLI) -> str:
    root = cli.datamodule.manifest.root
    return shlex.quote(str(Path(root) / cli.datamodule.manifest.table["path"][0]))
