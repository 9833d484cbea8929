"""The report for everybody: axe-core's rules, and a narrow screen on which nothing is cut."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from report.result_folders import AGAINST_BLOCK, block, evidence, row, write_crops, write_predictions

from ctxai.report.explanation import write_report

from system.accessibility import SIZES, assert_accessible
from system.browser import opened_page

pytestmark = pytest.mark.system


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
        compare = page.locator("[data-control=compare]").first
        if compare.count():
            compare.select_option(index=1)
        assert_accessible(page, f"accessible {size}")


def test_axe_core_sees_a_fault_that_is_there(chromium, report):
    with opened_page(chromium) as page:
        page.goto(report)
        page.evaluate("document.querySelector('h1').style.color = '#eee'")
        found = Axe().run(page).response
        assert "color-contrast" in {one["id"] for one in found["violations"] if one["impact"] == "serious"}
