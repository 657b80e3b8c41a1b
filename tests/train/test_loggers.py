"""Where figures go: a real server of MLflow on this machine, and what Weights & Biases keeps on the disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import environment
from vision_ft.cli import main
from vision_ft.train import loggers
from vision_ft.train.cli import VisionCLI
from vision_ft.train.loggers import MLFlow, logger_faults
from vision_ft.train.run import forget_run


def fit(drawings: Path, *more: str) -> list[str]:
    return [
        "fit", "--data.root", str(drawings), "--model.backbone", "test_resnet", "--model.weights", "random:",
        "--model.image_size", "32", "--data.batch_size", "8", "--data.num_workers", "0",
        "--unfreeze.phases", "[{epochs: 2, stages: 2, lr: 0.001}]", "--trainer.accelerator", "cpu", *more,
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def _their_variables() -> Iterator[None]:
    """What the loggers say to their libraries is gone after each test."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


class Server:
    """A server of MLflow."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        self._log = (folder / "server.log").open("w")
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--backend-store-uri", "sqlite:///figures.db",
            ],
            cwd=folder,
            env=environment(VISION_FT_LOOPBACK="1", MLFLOW_DISABLE_TELEMETRY="true"),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while not self._answers():
            assert self._process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.uri}/health", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        if self._process.poll() is None:
            # With its workers.
            os.killpg(self._process.pid, 9)
        self._process.wait()
        self._log.close()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("VISION_FT_LOOPBACK", "1")
    running = Server(tmp_path_factory.mktemp("mlflow"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    yield running
    running.stop()


def test_figures_and_settings_reach_the_server(
    server: Server, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    assert main(fit(drawings, "--run.name", "pets", "--run.loggers", "[csv, mlflow]")) == 0
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("pets")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == (Path("runs/pets/latest").resolve().name, "FINISHED")
    assert run.data.params["model.backbone"] == "test_resnet"
    losses = client.get_metric_history(run.info.run_id, "val/loss")
    assert len(losses) == 2
    assert f"{losses[-1].value:.6f}" in Path("runs/pets/latest/metrics.csv").read_text()
    assert run.data.metrics["handed_over/loss"] <= run.data.metrics["val/loss"]
    # And nothing is written that was not asked for.
    assert not list(Path("runs/pets/latest").glob("events.out.*"))


def test_a_server_that_goes_away_does_not_end_the_run(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    logger = MLFlow("name", "time")
    logger.log_metrics({"val/loss": 0.5}, 1)
    server.stop()
    logger.log_metrics({"val/loss": 0.4}, 2)
    logger.log_metrics({"val/loss": 0.3}, 3)
    logger.finalize("success")
    assert caplog.text.count("mlflow takes no more") == 1


def test_a_server_that_is_not_there_is_said_before_anything_is_trained(
    drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISION_FT_LOOPBACK", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(fit(drawings, "--run.loggers", "[mlflow]")) == 2
    assert "mlflow: nobody answers at 'http://127.0.0.1:9'" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_weights_and_biases_keeps_to_the_disk(drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISION_FT_LOOPBACK", "1")  # its own process
    # Two in one process: each is a run of its own.
    for name in ("one", "two"):
        assert main(fit(drawings, "--run.name", name, "--run.loggers", "[csv, wandb]")) == 0
        (kept,) = Path(f"runs/{name}/latest/wandb").glob("offline-run-*/*.wandb")
        written = kept.read_bytes()
        for words in (b"val/loss", b"handed_over/loss", b"model.backbone"):
            assert words in written


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["csv", "tensorbord"], ["no logger 'tensorbord' (did you mean 'tensorboard'?)"]),
        (["mlflow"], ["name it in MLFLOW_TRACKING_URI"]),
        (["mlflow", "comet"], ["MLFLOW_TRACKING_URI", "no logger 'comet'"]),
    ],
)
def test_names_that_will_not_do(names: list[str], words: list[str]) -> None:
    faults = " ".join(logger_faults(names))
    assert all(word in faults for word in words), faults


def test_packages_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda _: None)
    first, second = logger_faults(["csv", "mlflow", "wandb"])
    assert "vision-ft[mlflow]" in first
    assert "vision-ft[wandb]" in second


@pytest.mark.parametrize("names", ["[]", "[tensorboard]"])
def test_the_settings_are_kept_whatever_the_loggers(
    names: str, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    VisionCLI(fit(drawings, "--run.name", "run", "--run.loggers", names))
    forget_run()
    again = VisionCLI(["fit", "--config", "runs/run/latest/config.yaml", "--trainer.max_epochs", "0"])
    forget_run()
    assert again.config["fit"]["data"]["batch_size"] == 8


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--run.loggers", "csv"], "run.loggers: takes a list, as in '[csv, mlflow]'"),
        (["--run.loggers", "[csv]", "--trainer.logger", "false"], "run.loggers and trainer.logger are both set"),
    ],
)
def test_settings_that_will_not_do(
    more: list[str], words: str, drawings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit(drawings, *more)) == 2
    assert words in capsys.readouterr().err
