"""The settings of what a run hands over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vision_ft.errors import ConfigError, nearest

ENGINES = ("onnx", "int8", "openvino", "pt2")


@dataclass(frozen=True)
class Export:
    """What is handed over beside the weights; all of it can be had later, by vision-ft export.

    Attributes:
        engines: formats of the bundle: onnx, which is always there, int8, openvino (an extra) and pt2.
        unsure_error: the share of errors that is aimed at among what the model does not call unsure; half of the
            validation part's, and no less than 0.02, if not given.
        thumbnails: how many validation photos, as the network sees them, the bundle takes along to test itself with on
            other machines; 0 for none.
    """

    engines: list[str] = field(default_factory=lambda: ["onnx"])
    unsure_error: float | None = None
    thumbnails: int = 4

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if faults := export_faults(self.engines, self.unsure_error, self.thumbnails):
            raise ConfigError("; ".join(f"export.{fault}" for fault in faults))


def export_faults(engines: Sequence[str], unsure_error: float | None, thumbnails: int) -> list[str]:
    """Every fault, in words, without the name of the section."""
    faults = [
        f"engines: no engine {name!r}{nearest(name, ENGINES)}; there are: {', '.join(ENGINES)}"
        for name in engines
        if name not in ENGINES
    ]
    if unsure_error is not None and not 0 < unsure_error < 1:
        faults.append(f"unsure_error is {unsure_error:g}, must be a share between 0 and 1")
    if not 0 <= thumbnails <= 64:
        faults.append(f"thumbnails is {thumbnails}, must be from 0 to 64")
    if "openvino" in engines and not faults:
        faults += _openvino_faults()
    return faults


def _openvino_faults() -> list[str]:
    import importlib.util

    if importlib.util.find_spec("openvino") is None:
        return ["engines: openvino is not installed: pip install 'vision-ft[openvino]'"]
    return []
