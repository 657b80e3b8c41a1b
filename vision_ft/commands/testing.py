"""The report of a model that was just measured: at the end of ``fit``, and of ``test`` for any checkpoint."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import load_file

from vision_ft.commands.console import say
from vision_ft.commands.handover import hand_over
from vision_ft.commands.reporting import draw_report, keep_pictures, remember
from vision_ft.commands.summary import show_parts
from vision_ft.data.manifest import Manifest
from vision_ft.errors import BundleError
from vision_ft.evaluate.measure import Measured, measure
from vision_ft.model.checkpoint import load_network
from vision_ft.model.network import Network
from vision_ft.run_folder import RunFolder
from vision_ft.runtime.predictor import Predictor
from vision_ft.spec import SPEC_FILE, WEIGHTS_FILE
from vision_ft.train.cli import VisionCLI


def report_on(
    folder: RunFolder, measured: Measured, root: Path, network: Network, started: float | None = None
) -> dict[str, Any]:
    """Write predictions, pictures, figures and the page.

    Args:
        folder: of the run.
        measured: the exported model on the held-out photos.
        root: what their paths are relative to.
        network: what was exported, for the heat-maps.
        started: when the command began, by :func:`time.monotonic`.

    Returns:
        The record.
    """
    measured.predictions.write_csv(folder.predictions)
    remember(
        folder,
        {
            "root": str(root.resolve()),
            "predicted": {"photos": measured.predictions.height, "seconds": measured.seconds},
        },
    )
    keep_pictures(folder, root, network)
    if started is not None:
        remember(folder, {"command_seconds": time.monotonic() - started})
    return draw_report(folder)


def report_test(cli: VisionCLI) -> None:
    """Report on the checkpoint that ``test`` has scored.

    It is the *exported* model that the page speaks of, as after a fit: the run's own bundle where it was made of these
    very weights, and an export of them that is thrown away afterwards where it was not.
    """
    checkpoint, manifest = Path(str(cli.trainer.ckpt_path)), cli.datamodule.manifest
    run = RunFolder(checkpoint.parent.parent)
    network, record = load_network(checkpoint)
    if checkpoint == run.best and record.data.get("fingerprint") == manifest.fingerprint() and run.manifest.is_file():
        folder = run
    else:
        # The page in the run's folder is of what it hands over, on its own photos.
        folder = RunFolder(_place(run, checkpoint, manifest))
        folder.path.mkdir(parents=True, exist_ok=True)
        manifest.write(folder.manifest)
    measured = _measured(cli, checkpoint, folder, run, network, manifest)
    console = Console()
    figures = report_on(folder, measured, manifest.root, network)
    show_parts(figures["parts"], console)
    say(console, figures["verdict"])
    say(console, f"report: {folder.report}")


def _place(run: RunFolder, checkpoint: Path, manifest: Manifest) -> Path:
    parent = run.path if run.manifest.is_file() else checkpoint.parent
    return parent / "tests" / f"{checkpoint.stem}-{manifest.fingerprint()[:8]}"


def _measured(
    cli: VisionCLI, checkpoint: Path, folder: RunFolder, run: RunFolder, network: Network, manifest: Manifest
) -> Measured:
    if (bundle := _bundle_of(run, network)) is not None:
        if folder is not run:
            shutil.copyfile(run.bundle / SPEC_FILE, folder.path / SPEC_FILE)
        return measure(bundle, manifest)
    with tempfile.TemporaryDirectory() as place:
        handed = hand_over(checkpoint, Path(place, "bundle"), manifest, cli.datamodule.golden())
        shutil.copyfile(handed.bundle / SPEC_FILE, folder.path / SPEC_FILE)
    if handed.measured is None:
        raise BundleError(f"{str(checkpoint)!r}: no photo to measure its export on")
    return handed.measured


def _bundle_of(run: RunFolder, network: Network) -> Predictor | None:
    """The run's bundle, if it was made of these very weights."""
    weights = run.bundle / WEIGHTS_FILE
    if not weights.is_file():
        return None
    try:
        predictor = Predictor.load(run.bundle)
    except BundleError:
        return None
    exported, ours = load_file(weights), network.backbone.state_dict()
    same = exported.keys() == ours.keys() and all(torch.equal(exported[name], ours[name]) for name in ours)
    return predictor if same else None
