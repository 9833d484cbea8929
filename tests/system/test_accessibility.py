"""The report for everybody: axe-core's rules, and a narrow screen on which nothing is cut."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from report.result_folders import AGAINST_BLOCK, block, evidence, row, write_crops, write_predictions

from ctxai.report.explanation import write_report

from system.browser import opened_page, screenshot

pytestmark = pytest.mark.system

SIZES = {"large": (1600, 1000), "small": (1280, 720), "narrow": (480, 900)}
#: Everything that is seen and lies beyond the right edge of the page.
CUT = """() => [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > window.innerWidth + 1)
    .map((one) => one.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The address of a report of two nodules, with a map that is doubted and one that was not checked."""
    folder = tmp_path_factory.mktemp("accessible")
    trust = {"inside": 0.1, "inside_by_chance": 0.2, "fidelity": 0.3, "fidelity_percentile": 50.0, "stability": 0.9}
    nodules = [row("nodule-1", **{f"cdam_malignancy_{name}": value for name, value in trust.items()}), row("nodule-2")]
    for nodule in nodules:
        maps = {("cdam", "malignancy"): evidence(), ("lime", "malignancy"): block(*AGAINST_BLOCK)}
        write_crops(folder, nodule, maps)
    write_predictions(folder, nodules)
    write_report(folder)
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("size", SIZES)
def test_axe_core_finds_no_serious_fault_and_nothing_is_cut(chromium, report, size):
    with opened_page(chromium, *SIZES[size]) as page:
        page.goto(report)
        page.wait_for_selector(".viewer[data-ready=true]")
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        compare = page.locator("[data-control=compare]").first
        if compare.count():
            compare.select_option(index=1)
        found = Axe().run(page).response
        screenshot(page, f"accessible {size}")
        grave = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        assert not grave, [(one["id"], [node["html"] for node in one["nodes"]]) for one in grave]
        assert len(found["passes"]) > 20  # it has looked
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert page.evaluate(CUT) == []


def test_axe_core_sees_a_fault_that_is_there(chromium, report):
    with opened_page(chromium) as page:
        page.goto(report)
        page.evaluate("document.querySelector('h1').style.color = '#eee'")
        found = Axe().run(page).response
        assert "color-contrast" in {one["id"] for one in found["violations"] if one["impact"] == "serious"}
