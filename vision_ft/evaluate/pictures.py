"""Which photos the page shows, and how: small, as the network sees them, with where it looks."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vision_ft.evaluate.saved import Part
from vision_ft.framing import Pixels
from vision_ft.pages import data_url, jpeg_url
from vision_ft.scoring import losses_of

# Of each kind.
MOST = 12
_SIDE = 224
# The heat is coarse; the browser smooths what lies between.
_HEAT_SIDE = 32
_HOT = np.array([255.0, 70.0, 20.0])
_WARM = np.array([255.0, 214.0, 90.0])
_STRONGEST = 0.55

MISTAKES, UNSURE, NOVEL, SUSPECTS = "mistakes", "unsure", "novel", "suspects"


def choose(part: Part, suspects: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """The photos of each kind, by their rows in the part: the worst, the least sure and the newest first.

    Args:
        part: held-out photos.
        suspects: as in the record.
    """
    confidences = part.probabilities.max(axis=1)
    wrong = np.flatnonzero(~part.right)
    mistakes = wrong[np.argsort(-losses_of(part.probabilities, part.labels)[wrong], kind="stable")][:MOST]
    # A mistake is shown once.
    rest = np.setdiff1d(np.arange(len(confidences)), mistakes)
    unsure = rest[np.argsort(confidences[rest], kind="stable")][:MOST]
    novelty = part.table["novelty"].to_numpy()
    known = np.flatnonzero(np.isfinite(novelty.astype(np.float64)))
    novel = known[np.argsort(-novelty[known], kind="stable")][:MOST]
    place = {path: row for row, path in enumerate(part.table["path"])}
    doubted = [place[one["path"]] for one in suspects if one["path"] in place][:MOST]
    return {
        MISTAKES: mistakes.tolist(),
        UNSURE: unsure.tolist(),
        NOVEL: novel.tolist(),
        SUSPECTS: doubted,
    }


def picture(pixels: Pixels, heat: npt.NDArray[np.float32] | None, explains: str) -> dict[str, Any]:
    """A photo for the page.

    Args:
        pixels: framed, uint8 (height, width, 3).
        heat: (rows, columns) in [0, 1], where the network sees what speaks for a class.
        explains: that class.
    """
    photo = Image.fromarray(pixels)
    photo.thumbnail((_SIDE, _SIDE))
    seen = None if heat is None or not heat.any() else _overlay(heat)
    return {"photo": jpeg_url(photo), "heat": seen, "explains": explains if heat is not None else None}


def _overlay(heat: npt.NDArray[np.float32]) -> str:
    """Heat as a picture that is laid over the photo: clear where it is cold."""
    rows, columns = heat.shape
    scale = max(1, _HEAT_SIDE // max(rows, columns))
    smooth = Image.fromarray(heat.astype(np.float32)).resize((columns * scale, rows * scale), Image.Resampling.BICUBIC)
    warmth = np.clip(np.asarray(smooth), 0, 1)
    colour = _WARM + (_HOT - _WARM) * warmth[..., None]
    table = np.concatenate([colour, 255 * _STRONGEST * warmth[..., None]], axis=2)
    buffer = io.BytesIO()
    Image.fromarray(table.round().astype(np.uint8), "RGBA").quantize(32).save(buffer, "PNG")
    return data_url("png", buffer.getvalue())


def write_pictures(path: Path, pictures: dict[str, dict[str, Any]]) -> None:
    """Keep the pictures, by the paths of the photos."""
    path.write_text(json.dumps(pictures, ensure_ascii=False) + "\n", encoding="utf-8")


def read_pictures(path: Path) -> dict[str, dict[str, Any]]:
    """What :func:`write_pictures` kept; none where it kept nothing."""
    if not path.is_file():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found
