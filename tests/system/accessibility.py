"""What axe-core finds on a page, and what its right edge cuts."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from system.browser import screenshot

SIZES = {"large": (1600, 1000), "small": (1280, 720), "narrow": (480, 900)}
#: Everything that is seen and lies beyond the right edge of the page.
_CUT = """() => [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > window.innerWidth + 1)
    .map((one) => one.outerHTML.slice(0, 200))"""


def assert_accessible(page: Page, name: str) -> None:
    """Assert no serious fault and nothing cut, with everything that folds unfolded; keeps a screenshot of that name."""
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = Axe().run(page).response
    screenshot(page, name)
    grave = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert not grave, [(one["id"], [node["html"] for node in one["nodes"]]) for one in grave]
    assert len(found["passes"]) > 20  # it has looked
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert page.evaluate(_CUT) == []
