"""The system's own Chromium, off the network, for pages that lie on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass
class Heard:
    """What a page said and asked for while it was open."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def elsewhere(self) -> list[str]:
        """The addresses that are neither the page's own file nor in it."""
        return [address for address in self.requests if not address.startswith(("file:", "data:"))]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where the system has none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine to look at pages with; install the system's package, as .ci/run does")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def opened(browser: Any, page: Path, width: int = 1280, scheme: str = "light") -> tuple[Any, Heard]:
    """Open a file; hear what it says."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    tab, heard = context.new_page(), Heard()
    tab.on("console", lambda message: heard.console.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: heard.console.append(f"error: {error}"))
    tab.on("request", lambda request: heard.requests.append(request.url))
    tab.goto(page.resolve().as_uri())
    # Pictures further down are loaded when somebody comes near them.
    tab.evaluate("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
    tab.wait_for_function("[...document.images].every((one) => one.complete)")
    return tab, heard
