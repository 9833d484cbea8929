"""The browser that other system tests look through."""

import numpy as np
import pytest

from system.browser import SCREENSHOTS, screenshot

pytestmark = pytest.mark.system

WEBGL = """<body style="margin: 0"><canvas id="c" width="40" height="30"></canvas><script>
const gl = document.getElementById("c").getContext("webgl2", {preserveDrawingBuffer: true});
gl.clearColor(1, 0.5, 0, 1); gl.clear(gl.COLOR_BUFFER_BIT);</script>"""


def test_webgl_draws_and_a_screenshot_has_its_colours(page):
    page.set_content(WEBGL)
    image = screenshot(page.locator("canvas"), "webgl")
    assert image.shape == (30, 40, 3)
    assert np.abs(image.astype(int) - [255, 128, 0]).max() <= 1
    assert (SCREENSHOTS / "webgl.png").is_file()
    assert page.problems == []


def test_problems_and_requests_of_a_page_are_noted(page, tmp_path):
    (tmp_path / "index.html").write_text("<script src='absent.js'></script><script>nothing.at.all()</script>")
    page.goto((tmp_path / "index.html").as_uri())
    assert any("nothing is not defined" in problem for problem in page.problems)
    assert any(problem.startswith("console: ") for problem in page.problems)
    assert [address.rpartition("/")[2] for address in page.requests] == ["index.html", "absent.js"]
