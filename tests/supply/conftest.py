"""What the tests of fetching need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.supply.server import Server, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on this machine, reached without a proxy and asked again without a wait."""
    monkeypatch.setenv("VISION_FT_LOOPBACK", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VISION_FT_MIRROR", raising=False)
    monkeypatch.setattr("vision_ft.supply.download.WAITS", (0.0, 0.0, 0.0))
    with running() as server:
        yield server
