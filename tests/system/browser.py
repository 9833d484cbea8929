"""A real Chromium for the system tests, headless, with WebGL in software and nothing of its own on the network.

    def test_something(page):             # fixture of conftest.py: a fresh page of one browser per test module
        page.goto(url)
        image = screenshot(page, "name")  # uint8 [row, column, RGB]; kept as build/screenshots/name.png

`page` is playwright's Page (synchronous). `page.problems` lists what went wrong on it (errors of the page, errors on
its console), `page.requests` the addresses that it asked for.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from system.requirements import require

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 180_000  # of a browser that shares two cores with other tests
#: Build artefacts, which git ignores.
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@contextlib.contextmanager
def started_chromium() -> Iterator[Browser]:
    """Debian's Chromium, closed when the block ends; skips or, in CI, fails where it is absent."""
    program = shutil.which("chromium")
    require(program is not None, "chromium", "the Debian package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened_page(browser: Browser, width: int = 1400, height: int = 900) -> Iterator[Page]:
    """A page with cookies and storage of its own, in a window of that size in CSS pixels."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    page.problems, page.requests = [], []
    page.on("pageerror", lambda error: page.problems.append(f"page error: {error}"))
    page.on("console", lambda said: page.problems.append(f"console: {said.text}") if said.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    try:
        yield page
    finally:
        context.close()


def screenshot(of: Page | Locator, name: str, clip: Mapping[str, float] | None = None) -> np.ndarray:
    """What a page or an element of it shows; kept as ``build/screenshots/<name>.png``.

    Args:
        of: the page or element.
        name: of the file.
        clip: part of a page, as an element's ``bounding_box()``; unlike an element, it need not stand still.

    Returns:
        uint8 [row, column, RGB].
    """
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    options = {} if clip is None else {"clip": dict(clip)}
    png = of.screenshot(path=SCREENSHOTS / f"{name}.png", **options)
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))
