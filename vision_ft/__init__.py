"""vision_ft: fine-tune a pretrained backbone on a labelled folder of photos, and predict without PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from vision_ft.runtime.predictor import Predictor
    from vision_ft.runtime.thresholds import Moved

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(
    bundle: str | PathLike[str],
    engine: str = "onnx",
    unsure: Moved = "as bundled",
    neither: Moved = "as bundled",
    *,
    lanes: int = 1,
) -> Predictor:
    """Open an exported model.

    Args:
        bundle: the bundle's folder, for example ``runs/cats_dogs/latest/bundle``.
        engine: ``"onnx"``, ``"int8"`` or ``"openvino"``; the latter two where the bundle or the machine has them.
        unsure: a largest probability below this gets the verdict *unsure*; ``None`` for never, the bundle's own
            threshold if not given.
        neither: a novelty above this gets the verdict *neither*; ``None`` for never, the bundle's own if not given.
        lanes: batches that are computed at once, each by its share of the cores: 1 answers a single photo soonest, as
            many as there are cores get through many photos soonest.

    Returns:
        A :class:`~vision_ft.runtime.predictor.Predictor`, safe to use from several threads; its ``predict`` takes
        paths, Pillow images, uint8 RGB arrays of shape (height, width, 3), or an encoded file's bytes, and its
        ``explain`` one of these, for a heat-map.

    Raises:
        BundleError: the folder is no bundle, or a file in it was changed.
        UsageError: there is no such engine, in the bundle or at all, or a threshold cannot be.
    """
    # Imported here so that ``import vision_ft`` costs nothing heavy.
    from vision_ft.runtime.predictor import Predictor

    return Predictor.load(bundle, engine, unsure, neither, lanes=lanes)
