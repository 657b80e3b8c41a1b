"""Random views of training photos, by Albumentations, drawn from the seed, the epoch and the photo alone."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

# Albumentations asks a package index for a newer version when it is imported, unless told not to beforehand.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A  # noqa: N812 - its documented name
import numpy as np
import numpy.typing as npt
from PIL import Image

from vision_ft.data.presets import CROP
from vision_ft.errors import ConfigError, nearest
from vision_ft.framing import Box, Framing, Pixels, resize

# A transform has its random numbers with it, and threads share the transforms.
_ONE_AT_A_TIME = threading.Lock()
# A photo of 500 × 375 pixels, as cameras' proportions are.
_TRIAL = 125


class Augmentation:
    """A list of Albumentations transforms that is a pure function of a photo and a seed.

    Attributes:
        described: all that its views hang on besides photo, seed and framing, in words.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Any]], framing: Framing) -> None:
        """Build the transforms.

        Args:
            transforms: each a mapping with the key ``transform``, the name of an Albumentations class, and that
                class's arguments. A ``RandomResizedCrop`` must come first and takes its size from ``framing``;
                without one, a photo is framed as in validation before the transforms.
            framing: the size that a view must have.

        Raises:
            ConfigError: a name or an argument is wrong; every fault of the list is named.
        """
        self._framing = framing
        self.described = f"Albumentations {A.__version__} {json.dumps(list(transforms), default=str)}"
        self._crop: A.RandomResizedCrop | None = None
        faults: list[str] = []
        built: list[Any] = []
        for place, settings in enumerate(transforms):
            try:
                if settings.get("transform") == CROP:
                    self._crop = _build_crop(dict(settings), place, framing)
                else:
                    built.append(_build(dict(settings)))
            except (ValueError, TypeError) as error:
                faults.append(f"data.augment[{place}] {settings.get('transform')}: {' '.join(str(error).split())}")
        if faults:
            raise ConfigError("; ".join(faults))
        self._compose = A.Compose(built)
        # One view now: what cannot work is told here, and not by a loader's process in the middle of a run.
        try:
            self(Image.new("RGB", (_TRIAL * 4, _TRIAL * 3)), (0,))
        except ConfigError:
            raise
        except Exception as error:
            # Albumentations has exceptions of its own for many a transform.
            raise ConfigError(f"data.augment: {' '.join(str(error).split())[:200]}") from error

    def box(self, width: int, height: int, seed: Sequence[int]) -> Box:
        """The part of a photo of that size that is to be seen: Albumentations' random box, or the framing's own."""
        if self._crop is None:
            return self._framing.box(width, height)
        with _ONE_AT_A_TIME:
            self._crop.set_random_seed(int(self._states(seed)[0]))
            found = self._crop.get_params_dependent_on_data({"shape": (height, width, 3)}, {})
        left, top, right, bottom = found["crop_coords"]
        # Of a photo that is much longer than it is wide, or of proportions that hardly fit into it.
        left, top = min(left, width - 1), min(top, height - 1)
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def view(self, photo: Image.Image, box: Box, seed: Sequence[int]) -> Pixels:
        """A random view.

        Args:
            photo: RGB.
            box: in its pixels; resampled by the package's own filter, the one that validation and serving use.
            seed: non-negative numbers; the same numbers give the same view, whatever came before and in whichever
                process.

        Returns:
            uint8 array of shape (framing.height, framing.width, 3).

        Raises:
            ConfigError: the transforms give something other than such an array.
        """
        framed = resize(photo, self._framing, box)
        with _ONE_AT_A_TIME:
            self._reseed(seed)
            view = self._compose(image=framed)["image"]
        expected = (self._framing.height, self._framing.width, 3)
        if view.shape != expected or view.dtype != np.uint8:
            raise ConfigError(
                f"data.augment: the transforms give {view.dtype} of shape {view.shape}, the network takes uint8 of "
                f"shape {expected}; leave out transforms that change size or type"
            )
        return np.ascontiguousarray(view)

    def __call__(self, photo: Image.Image, seed: Sequence[int]) -> Pixels:
        """The view of a whole photo, in the box that the seed gives; see :meth:`view`."""
        return self.view(photo, self.box(photo.width, photo.height, seed), seed)

    def _states(self, seed: Sequence[int]) -> npt.NDArray[np.unsignedinteger]:
        """A number for the crop, one for each transform, and one for what draws them."""
        steps = len(self._compose.transforms) + (self._crop is not None)
        return np.random.SeedSequence(list(seed)).generate_state(steps + 1)

    def _reseed(self, seed: Sequence[int]) -> None:
        # ``Compose.set_random_seed`` gives every transform the same seed, and then a flip and a jitter of equal
        # probability always come together. Each gets a seed of its own here.
        states = self._states(seed)
        self._compose.set_random_seed(int(states[-1]))
        for step, state in zip(self._compose.transforms, states[self._crop is not None :], strict=False):
            step.set_random_seed(int(state))


def _build_crop(settings: dict[str, Any], place: int, framing: Framing) -> A.RandomResizedCrop:
    del settings["transform"]
    if place != 0:
        raise ValueError(f"{CROP} must come first in the list")
    if "size" in settings:
        raise ValueError(f"{CROP} takes its size from the weights; set model.image_size to change it")
    if settings.get("p", 1.0) != 1.0:
        raise ValueError("p must be 1: without a crop, a view would have the size of its photo")
    return A.RandomResizedCrop(size=(framing.height, framing.width), strict=True, **settings)


def _build(settings: dict[str, Any]) -> Any:
    name = settings.pop("transform", None)
    if not isinstance(name, str):
        raise ValueError("lacks the key 'transform', the name of an Albumentations class")
    kind = getattr(A, name, None)
    if not (isinstance(kind, type) and issubclass(kind, A.BasicTransform)):
        known = [
            key for key, value in vars(A).items() if isinstance(value, type) and issubclass(value, A.BasicTransform)
        ]
        raise ValueError(f"Albumentations has no transform {name!r}{nearest(name, known)}")
    return kind(strict=True, **settings)
