"""Heat-maps: where on a photo a model sees a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from vision_ft.errors import UsageError, nearest
from vision_ft.framing import Pixels
from vision_ft.runtime.engine import Engine, Floats


def heat_of(engine: Engine, pixels: Pixels, classes: Sequence[str], label: str | None) -> Floats:
    """The class-activation map of a photo (Zhou et al. 2016, https://arxiv.org/abs/1512.04150).

    The network's head is asked of each place of the last maps alone. How far a place speaks for the class is its logit
    above the mean over the classes, for what all classes have in common the softmax does not see. What speaks against
    is 0, what speaks most is 1; in between it is bilinear.

    Args:
        engine: that runs the model.
        pixels: a framed photo, uint8 (height, width, 3).
        classes: in the order of the logits.
        label: the class; the most probable one if ``None``.

    Returns:
        float32 (height, width) in [0, 1]; all 0 where no place speaks for the class.

    Raises:
        UsageError: there is no such class, or the model gives no heat-map.
    """
    if label is not None and label not in classes:
        raise UsageError(f"no class {label!r}{nearest(label, classes)}; there are: {', '.join(classes)}")
    found = engine.places(pixels[None])
    if found is None:
        raise UsageError(
            "this model gives no heat-map: its backbone has no maps or tokens that its head could be asked of singly"
        )
    wanted = int(engine.run(pixels[None]).probabilities[0].argmax()) if label is None else classes.index(label)
    logits = found[0]
    speaks = np.maximum(logits[..., wanted] - logits.mean(axis=-1), 0.0)
    top = float(speaks.max())
    if top <= 0:
        return np.zeros(pixels.shape[:2], np.float32)
    image = Image.fromarray((speaks / top).astype(np.float32))
    large = image.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(large, dtype=np.float32), 0.0, 1.0)
