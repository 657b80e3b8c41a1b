"""The folder of a run: made anew for each, never written over."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lightning_fabric.utilities.rank_zero import rank_zero_only

from vision_ft.errors import ConfigError
from vision_ft.run_folder import RunFolder as RunFolder
from vision_ft.train.loggers import DEFAULT, logger_faults

# Lightning starts further processes of a run by the same command line; this tells them which folder is theirs.
_RUN_OF_THIS_PROCESS = "VISION_FT_RUN_FOLDER"
_LATEST = "latest"


@dataclass(frozen=True)
class Run:
    """Where runs are kept.

    Attributes:
        folder: holds all runs.
        name: groups runs of one kind; the name of the data's folder if not given.
        save_every_steps: steps of the optimizer between two checkpoints to resume from; one is written after each
            epoch as well, and where the run is told to stop.
        loggers: where figures go: csv, tensorboard, and by an extra of the same name mlflow (whose server
            MLFLOW_TRACKING_URI names) and wandb (offline, unless WANDB_MODE says otherwise).
    """

    folder: str = "runs"
    name: str | None = None
    save_every_steps: int = 1000
    loggers: list[str] = field(default_factory=lambda: list(DEFAULT))

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.save_every_steps < 1:
            raise ConfigError(f"run.save_every_steps is {self.save_every_steps}, must be 1 or more")
        if faults := logger_faults(self.loggers):
            raise ConfigError("; ".join(faults))
        if self.name is not None:
            _check_name(self.name)


def new_run_folder(run: Run, default_name: str) -> RunFolder:
    """Make the folder of a new run.

    Args:
        run: where and under which name.
        default_name: the name if the settings have none.

    Raises:
        ConfigError: the place cannot be written to, or the name is a path.
    """
    inherited = os.environ.get(_RUN_OF_THIS_PROCESS)
    if inherited is not None:
        return RunFolder(Path(inherited))
    name = default_name if run.name is None else run.name
    _check_name(name)
    parent = Path(run.folder).expanduser() / name
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        # Started beside the first process, by torchrun or SLURM: the folder is for that one to make.
        return RunFolder(parent / stamp)
    latest = parent / _LATEST
    if latest.exists() and not latest.is_symlink():
        raise ConfigError(f"run.folder: {str(latest)!r} is no link of ours; move it away")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = _make_new(parent, stamp)
    except OSError as error:
        raise ConfigError(f"run.folder: {str(parent)!r} cannot hold runs: {error.strerror}") from error
    os.environ[_RUN_OF_THIS_PROCESS] = str(folder.resolve())
    return RunFolder(folder)


def _check_name(name: str) -> None:
    if not name or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"run.name is {name!r}, must be a plain name for a folder")


def point_latest(folder: RunFolder) -> None:
    """Let ``latest`` point to a run; done when it begins, so that a run that could not begin takes nobody's place."""
    fresh = folder.path.parent / f".{_LATEST}-{os.getpid()}"
    fresh.symlink_to(folder.path.name, target_is_directory=True)
    fresh.replace(folder.path.parent / _LATEST)


def discard(folder: RunFolder) -> None:
    """Remove the folder of a run that could not begin, if nothing is in it."""
    forget_run()
    for path in (folder.path, folder.path.parent, folder.path.parent.parent):
        try:
            path.rmdir()
        except OSError:
            return


def forget_run() -> None:
    """Let the next run of this process have a folder of its own."""
    os.environ.pop(_RUN_OF_THIS_PROCESS, None)


def _make_new(parent: Path, stamp: str) -> Path:
    """A folder that was not there before, also when two runs begin in one second."""
    for number in range(1000):
        folder = parent / (stamp if number == 0 else f"{stamp}-{number + 1}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(None, "too many runs began at once")
