"""What ``fit``, ``test`` and ``report`` have in common: figures, pictures, and the page that is drawn from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision_ft.audit.confident import suspects
from vision_ft.errors import DataError, UnreadablePhoto
from vision_ft.evaluate.page import MARK, is_ours, write_report
from vision_ft.evaluate.pictures import choose, picture, read_pictures, write_pictures
from vision_ft.evaluate.record import record_of
from vision_ft.evaluate.saved import Part, Saved
from vision_ft.imaging import read
from vision_ft.run_folder import RunFolder

if TYPE_CHECKING:
    from vision_ft.model.network import Network

__all__ = ["MARK", "draw_report", "keep_pictures", "remember"]


def draw_report(folder: RunFolder) -> dict[str, Any]:
    """Write ``metrics.json`` and ``report.html`` from what the run saved; no model is needed.

    Returns:
        The record.

    Raises:
        DataError: the folder is no run, or a file under the page's name is none of ours.
    """
    if not is_ours(folder.report):
        raise DataError(f"{str(folder.report)!r} is a file of yours and is not written over; move it away")
    saved = Saved.read(folder)
    found = record_of(saved, suspected(saved.held_out(), saved.spec.classes))
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
    # The page is made of what is written, and of nothing that is not.
    record: dict[str, Any] = json.loads(text)
    folder.metrics.write_text(text + "\n", encoding="utf-8")
    write_report(folder.report, record, saved, read_pictures(folder.pictures))
    return record


def suspected(part: Part, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Photos whose labels are likely wrong, the surest first."""
    probabilities = part.probabilities.astype(np.float64)
    if not len(probabilities):
        return []
    rows = np.flatnonzero(suspects(probabilities, part.labels.tolist()))
    rows = rows[np.argsort(-probabilities[rows].max(axis=1), kind="stable")]
    return [
        {
            "path": part.table["path"][int(row)],
            "split": part.table["split"][int(row)],
            "label": classes[part.labels[row]],
            "looks_like": classes[part.guesses[row]],
            "probability": float(probabilities[row].max()),
        }
        for row in rows
    ]


def keep_pictures(folder: RunFolder, root: Path, network: Network | None) -> None:
    """Keep the photos that the page shows, small, with what a network sees on them, so that they can be shown again.

    Args:
        folder: of the run.
        root: what the paths of its predictions are relative to.
        network: whose heat-maps are wanted: in eval mode, on the CPU; none are drawn if not given.
    """
    saved = Saved.read(folder)
    part = saved.held_out()
    chosen = choose(part, suspected(part, saved.spec.classes))
    rows = sorted({row for of_kind in chosen.values() for row in of_kind})
    pixels, kept = [], []
    for row in rows:
        try:
            pixels.append(read(root / part.table["path"][row], saved.spec.preprocessing.framing))
        except UnreadablePhoto:
            continue
        kept.append(row)
    guesses = [int(part.guesses[row]) for row in kept]
    heat = _heat(network, pixels, guesses) if network is not None and pixels else None
    write_pictures(
        folder.pictures,
        {
            part.table["path"][row]: picture(
                pixels[place], None if heat is None else heat[place], saved.spec.classes[guesses[place]]
            )
            for place, row in enumerate(kept)
        },
    )


def _heat(network: Network, pixels: list[Any], guesses: list[int]) -> Any:
    from vision_ft.model.heatmap import Unmapped, heat_maps

    try:
        return heat_maps(network, pixels, guesses)
    except Unmapped:
        # The page then shows the photos alone.
        return None


def remember(folder: RunFolder, facts: Mapping[str, Any]) -> None:
    """Add to what is known of how the run went."""
    known = json.loads(folder.history.read_text(encoding="utf-8")) if folder.history.is_file() else {}
    folder.history.write_text(json.dumps({**known, **facts}, indent=1) + "\n", encoding="utf-8")
