"""Thresholds that are moved or switched off when a bundle is opened."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from vision_ft.errors import UsageError
from vision_ft.spec import NOVELTY, ModelSpec, Thresholds

AS_BUNDLED: Literal["as bundled"] = "as bundled"
# A threshold; ``None`` switches it off.
Moved: TypeAlias = float | Literal["as bundled"] | None


def moved(spec: ModelSpec, unsure: Moved, neither: Moved) -> Thresholds:
    """The thresholds of a bundle, others in their place where given.

    Raises:
        UsageError: one is out of range, or the model has no novelty that *neither* could rest on.
    """
    if isinstance(unsure, (int, float)) and not 0 <= unsure <= 1:
        raise UsageError(f"unsure is {unsure:g}, must be a probability from 0 to 1, or off")
    if isinstance(neither, (int, float)):
        if not 0 <= neither < math.inf:
            raise UsageError(f"neither is {neither:g}, must be 0 or more, or off; 1 is the bundle's own")
        if NOVELTY not in spec.calibration:
            raise UsageError("neither: the model has no novelty to compare with; export it again with its run's photos")
    return Thresholds(
        unsure=spec.thresholds.unsure if unsure == AS_BUNDLED else unsure,
        neither=spec.thresholds.neither if neither == AS_BUNDLED else neither,
    )
