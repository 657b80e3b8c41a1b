"""What a frozen, pretrained backbone sees in photos: the ground on which labels and strange pictures are judged."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader

from vision_ft.audit.check import Seen
from vision_ft.data.loading import PhotoDataset, PhotoSampler
from vision_ft.data.manifest import Manifest
from vision_ft.data.module import fitting_workers
from vision_ft.model.backbone import build, check_name
from vision_ft.model.network import Network
from vision_ft.model.weights import parse_source

_BATCH = 32


def check_names(backbone: str, weights: str) -> None:
    """Refuse a backbone or a source of weights that there is none of, before anything long is begun.

    Raises:
        ConfigError: timm has no such backbone.
        WeightsError: the source cannot be understood.
    """
    check_name(backbone)
    parse_source(weights)


def frozen_features(manifest: Manifest, backbone: str, weights: str) -> Seen:
    """Show every readable photo to a frozen backbone once, framed as prediction frames it.

    Args:
        manifest: the photos.
        backbone: timm's name.
        weights: a source, as ``model.weights`` names it.

    Raises:
        ConfigError: timm has no such backbone.
        WeightsError: the weights cannot be had.
    """
    built = build(backbone, weights, manifest.classes)
    network = Network(built.module, built.preprocessing).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    readable = manifest.table.with_row_index("row").filter(pl.col("problem").is_null())
    dataset = PhotoDataset(
        manifest.paths(readable), manifest.labels(readable), readable["path"].to_list(), built.preprocessing.framing
    )
    loader = DataLoader(
        dataset,
        batch_size=_BATCH,
        sampler=PhotoSampler(dataset, shuffle=False),
        collate_fn=dataset.collate,
        num_workers=fitting_workers(1),
    )
    console = Console(stderr=True)
    values, rows = [], []
    with torch.inference_mode():
        for batch in track(
            loader,
            f"looking with {backbone}",
            total=len(loader),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ):
            if len(batch.pixels):
                values.append(network.features(batch.pixels.to(device)).float().cpu().numpy())
                rows.append(batch.rows.numpy())
    order = readable["row"].to_numpy().astype(np.int64)
    if not values:
        return Seen(order[:0], np.empty((0, 0), np.float32))
    return Seen(order[np.concatenate(rows)], np.concatenate(values))
