"""vision_ft: fine-tune a pretrained backbone on a labelled folder of photos, and predict without PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from vision_ft.runtime.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(bundle: str | PathLike[str], *, lanes: int = 1) -> Predictor:
    """Open an exported model.

    Args:
        bundle: the bundle's folder, for example ``runs/cats_dogs/latest/bundle``.
        lanes: batches that are computed at once, each by its share of the cores: 1 answers a single photo soonest, as
            many as there are cores get through many photos soonest.

    Returns:
        A :class:`~vision_ft.runtime.predictor.Predictor`, safe to use from several threads; its ``predict`` takes
        paths, Pillow images, uint8 RGB arrays of shape (height, width, 3), or an encoded file's bytes.

    Raises:
        BundleError: the folder is no bundle, or a file in it was changed.
    """
    # Imported here so that ``import vision_ft`` costs nothing heavy.
    from vision_ft.runtime.predictor import Predictor

    return Predictor.load(bundle, lanes=lanes)
