"""What a bundle says of itself: its spec and, made from that, its model card."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vision_ft.export.card import OTHERS, model_card
from vision_ft.export.staging import staged, write
from vision_ft.runtime.bundle import open_bundle
from vision_ft.spec import CARD_FILE, SPEC_FILE, ModelSpec


def write_spec(folder: Path, spec: ModelSpec) -> ModelSpec:
    """Write the card and the spec into a bundle's folder; the spec as written has the card's digest in it."""
    card = write(folder / CARD_FILE, model_card(spec).encode())
    complete = dataclasses.replace(spec, files={**spec.files, CARD_FILE: card})
    write(folder / SPEC_FILE, complete.to_json().encode())
    return complete


def add_metrics(folder: Path, spec: ModelSpec, metrics: dict[str, object]) -> ModelSpec:
    """Write the figures that were measured on the exported model into its spec and its card."""
    return write_spec(folder, dataclasses.replace(spec, metrics=metrics))


def add_others(bundle: Path, figures: Mapping[str, Any]) -> None:
    """Let a finished bundle say what it makes of pictures of none of its classes; there is always a whole one.

    Raises:
        BundleError: it is none, or cannot be written.
    """
    spec, _ = open_bundle(bundle)
    with staged(bundle) as folder:
        for name in spec.files:
            if name != CARD_FILE:
                shutil.copyfile(bundle / name, folder / name)
        write_spec(folder, dataclasses.replace(spec, metrics={**spec.metrics, OTHERS: dict(figures)}))
