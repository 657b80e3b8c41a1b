"""Packages that report their use to others, imported so that they do not."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from vision_ft.errors import UsageError

_TELEMETRY = "openvino_telemetry"


def silent_openvino() -> Any:
    """The module ``openvino``, kept from telling Google Analytics that it was imported.

    Raises:
        UsageError: it is not installed.
    """
    telemetry = sys.modules.get(_TELEMETRY)
    # As though it were not installed: OpenVINO then does without.
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        raise UsageError("openvino is not installed: pip install 'vision-ft[openvino]'") from error
    finally:
        if telemetry is None:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = telemetry
