"""What a frozen, pretrained backbone sees in photos: the ground on which labels and strange pictures are judged."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import polars as pl
import torch
from rich.console import Console

from vision_ft.audit.check import Seen
from vision_ft.data.loading import PhotoDataset
from vision_ft.data.manifest import Manifest
from vision_ft.data.plain import PlainPhotos
from vision_ft.data.reading import fitting_workers
from vision_ft.model.backbone import build, check_name
from vision_ft.model.network import Network
from vision_ft.model.weights import parse_source
from vision_ft.train.looking import Cache, Looker

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
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    readable = manifest.table.with_row_index("row").filter(pl.col("problem").is_null())
    labels, digests = manifest.labels(readable), readable["sha256"].to_list()
    paths, keys = manifest.paths(readable), readable["path"].to_list()
    dataset = PhotoDataset(paths, labels, keys, built.preprocessing.framing, digests=digests)
    photos = PlainPhotos(dataset, labels, digests, _BATCH, fitting_workers(device.type, 1))
    console = Console(stderr=True)
    looker = Looker(network, device, "32-true", nullcontext, Cache())
    seen = looker.look(photos, range(len(labels)), lambda: None, console, console.is_terminal)
    return Seen(readable["row"].to_numpy().astype(np.int64)[seen.rows.numpy()], seen.values.numpy())
