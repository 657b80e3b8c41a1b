"""Lists of Albumentations transforms by strength, for people who would rather not write one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from vision_ft.errors import ConfigError, nearest

Transforms: TypeAlias = Sequence[Mapping[str, Any]]

CROP = "RandomResizedCrop"
_FLIP = {"transform": "HorizontalFlip"}


def _jitter(strength: float, p: float) -> Mapping[str, Any]:
    """Changes of colour; of the hue few, for it says much of what a thing is."""
    return {
        "transform": "ColorJitter",
        "brightness": strength,
        "contrast": strength,
        "saturation": strength,
        "hue": strength / 10,
        "p": p,
    }


PRESETS: Mapping[str, Transforms] = {
    "none": (),
    # Hardly more than what another photo of the same scene would show.
    "light": ({"transform": CROP, "scale": [0.8, 1.0]}, _FLIP),
    # Mild, because a pretrained backbone on little data gains more from order than from noise.
    "medium": ({"transform": CROP, "scale": [0.5, 1.0]}, _FLIP, _jitter(0.2, 0.8)),
    # For many epochs, or for photos to come that are worse than those that are here.
    "strong": (
        {"transform": CROP, "scale": [0.25, 1.0]},
        _FLIP,
        {"transform": "Rotate", "limit": 15, "border_mode": 4, "p": 0.5},
        _jitter(0.4, 0.8),
        {"transform": "ToGray", "p": 0.1},
        {"transform": "GaussianBlur", "blur_limit": 5, "p": 0.1},
        {"transform": "ImageCompression", "quality_range": [40, 95], "p": 0.2},
        {"transform": "CoarseDropout", "hole_height_range": [0.1, 0.3], "hole_width_range": [0.1, 0.3], "p": 0.25},
    ),
}
DEFAULT = "medium"


def transforms_of(augment: Transforms | str | None) -> Transforms:
    """The transforms that are meant.

    Args:
        augment: a list, the name of a preset, or ``None`` for the default.

    Raises:
        ConfigError: there is no preset of that name.
    """
    if not (augment is None or isinstance(augment, str)):
        return augment
    name = DEFAULT if augment is None else augment
    if name not in PRESETS:
        raise ConfigError(
            f"data.augment: no preset {name!r}{nearest(name, PRESETS)}; there are {', '.join(PRESETS)}, or give a list "
            "of transforms"
        )
    return PRESETS[name]
