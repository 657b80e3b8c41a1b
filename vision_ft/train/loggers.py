"""Where the figures of a run go, by name."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from vision_ft.errors import ConfigError, nearest

_log = logging.getLogger(__name__)
_URI = "MLFLOW_TRACKING_URI"
# Said to their libraries before these are imported: nothing about the user or the machine is sent to their makers, and
# a server that is not there is not waited for by the minute.
_MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
_WANDB = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "WANDB_MODE": "offline"}


class MLFlow(MLFlowLogger):
    """MLflow's server, whose loss does not end a run."""

    def __init__(self, group: str, name: str) -> None:
        """Take the server from ``MLFLOW_TRACKING_URI``.

        Raises:
            ConfigError: it is not set, or nobody answers there.
        """
        for variable, value in _MLFLOW.items():
            os.environ.setdefault(variable, value)
        for chatty in ("mlflow", "pytorch_lightning.loggers.mlflow", "urllib3.connectionpool"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        uri = os.environ[_URI]
        self._lost = False
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or group
        super().__init__(experiment_name=experiment, run_name=name, tracking_uri=uri)
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            try:
                _ = self.experiment
            except Exception as error:
                raise ConfigError(
                    f"run.loggers: mlflow: nobody answers at {uri!r}, which {_URI} names "
                    f"({_first_line(error)}); start the server, or leave mlflow out"
                ) from error

    def log_hyperparams(self, params: Any) -> None:
        """Send the settings."""
        self._unless_lost(lambda: super(MLFlow, self).log_hyperparams(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send figures."""
        self._unless_lost(lambda: super(MLFlow, self).log_metrics(metrics, step))

    def finalize(self, status: str = "success") -> None:
        """Say that the run is over."""
        self._unless_lost(lambda: super(MLFlow, self).finalize(status))

    def _unless_lost(self, send: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            send()
        except Exception as error:
            # Of mlflow's own kind, or of those of what it sends with. Whatever it is, the training is worth more.
            self._lost = True
            _log.warning("mlflow takes no more, and the run goes on without it (%s)", _first_line(error))


class Wandb(WandbLogger):
    """Weights & Biases, offline unless ``WANDB_MODE`` says otherwise."""

    def __init__(self, place: Path, group: str, name: str) -> None:
        """Keep what is to be synchronised below the run's folder.

        Raises:
            ConfigError: it cannot begin, for example because nobody is logged in.
        """
        for variable, value in _WANDB.items():
            os.environ.setdefault(variable, value)
        project = os.environ.get("WANDB_PROJECT") or group
        super().__init__(name=name, project=project, save_dir=place)
        # Lightning gives it whether it is meant or not, and is told each time that it means nothing any more.
        self._wandb_init.pop("anonymous", None)
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            try:
                _ = self.experiment
            except Exception as error:
                raise ConfigError(
                    f"run.loggers: wandb cannot begin ({_first_line(error)}); log in, or set WANDB_MODE=offline"
                ) from error

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write everything; the next run of this process is another one."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status in ("success", "finished") else 1)
            self._experiment = None


# By name: the package that it takes, if that is an extra, and how it is made for a run's folder.
_KINDS: Mapping[str, tuple[str | None, Callable[[Path, str, str], Logger]]] = {
    "csv": (None, lambda place, group, name: CSVLogger(place, name="", version="")),  # noqa: ARG005
    "tensorboard": (None, lambda place, group, name: TensorBoardLogger(place, name="", version="")),  # noqa: ARG005
    "mlflow": ("mlflow", lambda place, group, name: MLFlow(group, name)),  # noqa: ARG005
    "wandb": ("wandb", Wandb),
}
DEFAULT = ("csv", "tensorboard")


def logger_faults(names: Iterable[str]) -> list[str]:
    """What is wrong with the names of loggers, all at once."""
    faults = []
    for name in dict.fromkeys(names):
        if name not in _KINDS:
            faults.append(f"run.loggers: no logger {name!r}{nearest(name, _KINDS)}; there are {', '.join(_KINDS)}")
            continue
        package = _KINDS[name][0]
        if package is not None and importlib.util.find_spec(package) is None:
            faults.append(f"run.loggers: {name} needs the package {package}; pip install 'vision-ft[{name}]'")
        elif name == "mlflow" and not os.environ.get(_URI):
            faults.append(f"run.loggers: mlflow needs a server; name it in {_URI}, as in http://localhost:5000")
    return faults


def make_loggers(names: Iterable[str], place: Path, called: tuple[str, str]) -> list[Logger]:
    """The loggers of a run.

    Args:
        names: see :data:`DEFAULT`; without faults.
        place: the folder of the run.
        called: what runs of its kind, and the run itself, are called where they are compared.

    Raises:
        ConfigError: one of them cannot begin.
    """
    return [_KINDS[name][1](place, *called) for name in dict.fromkeys(names)]


def describe_run(trainer: pl.Trainer, settings: Mapping[str, Any]) -> None:
    """Send the settings to where runs are compared; in the run's own folder they lie as ``config.yaml``."""
    for logger in trainer.loggers:
        if isinstance(logger, (MLFlow, Wandb)):
            logger.log_hyperparams(dict(settings))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
