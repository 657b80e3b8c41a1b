"""Golden photos: what a bundle must say of them on any machine, and a few of them to ask it with."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from vision_ft.export.part import Pixels
from vision_ft.runtime.engine import Answers
from vision_ft.runtime.selftest import SOURCE

# Digits after the point: a hundredth of what the gate allows.
_DIGITS = 6


def golden_file(photos: Sequence[Pixels], digests: Sequence[str], answers: Mapping[str, Answers], shown: int) -> bytes:
    """The text of ``golden.json``.

    Args:
        photos: framed, uint8 (height, width, 3).
        digests: SHA-256 of their files.
        answers: the source's under SOURCE, and those of every engine that only comes near it under its name.
        shown: how many, from the first, lie in ``golden.png``.
    """
    record = {
        "photos": [
            {"file": digest, "pixels": hashlib.sha256(pixels.tobytes()).hexdigest()}
            for pixels, digest in zip(photos, digests, strict=True)
        ],
        "thumbnails": shown,
        "answers": {name: _plain(found) for name, found in answers.items()},
    }
    if SOURCE not in answers:
        raise KeyError(SOURCE)
    return (json.dumps(record) + "\n").encode()


def thumbnails_file(photos: Sequence[Pixels]) -> bytes:
    """``golden.png``: framed photos one below the other, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(photos)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _plain(answers: Answers) -> dict[str, object]:
    novelty = answers.novelty
    return {
        "probabilities": [[round(float(one), _DIGITS) for one in row] for row in answers.probabilities],
        "novelty": None if novelty is None else [round(float(one), _DIGITS) for one in novelty],
    }
