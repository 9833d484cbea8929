"""The report in a real browser: images, controls by keyboard, 3-D, and no word to any network."""

import numpy as np
import pytest
from report.result_folders import AGAINST_BLOCK, FOR_BLOCK, block, evidence, row, write_crops, write_predictions

from ctxai.report.explanation import write_report

from system.browser import opened_page, screenshot

pytestmark = pytest.mark.system

FIELD = 40
FIRST = (64 - FIELD) // 2
#: Patch axes (0 superior, 1 posterior, 2 left) of a plane's normal, rows and columns; whether rows run upwards.
PLANES = {"axial": (0, 1, 2, False), "coronal": (1, 0, 2, True), "sagittal": (2, 0, 1, True)}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The address of a report of one nodule with maps of two methods; the second is not where the first is."""
    folder = tmp_path_factory.mktemp("report")
    nodule = row(lime_malignancy_inside=0.01, lime_malignancy_inside_by_chance=0.1)
    other = block(*AGAINST_BLOCK)
    write_crops(folder, nodule, {("cdam", "malignancy"): evidence(), ("lime", "malignancy"): other})
    write_predictions(folder, [nodule])
    write_report(folder)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def opened(chromium, report):
    """The open report; tests begin from its first state."""
    with opened_page(chromium, 1400, 1000) as page:
        yield page


@pytest.fixture
def page(opened, report):
    opened.goto(report)
    opened.wait_for_selector(".viewer[data-ready=true]")
    yield opened
    assert opened.problems == []
    assert {address.split("#")[0] for address in opened.requests} == {report}


def canvas(page, plane):
    return page.locator(f"canvas[data-plane={plane}]")


def scroll_to(page, plane, index):
    """By keyboard alone."""
    shown = canvas(page, plane)
    shown.focus()
    for _ in range(80):
        now = int(shown.get_attribute("aria-valuenow"))
        if now == index:
            return
        step = index - now
        page.keyboard.press(
            ("PageUp" if step > 0 else "PageDown") if abs(step) >= 5 else "ArrowUp" if step > 0 else "ArrowDown"
        )
    raise AssertionError(f"{plane} never reached slice {index}")


def heat(page, plane):
    """Shares (row, column) of the image where the warm and where the blue pixels have their middle; None for none."""
    canvas(page, plane).evaluate("shown => shown.blur()")  # the ring about what is focused is blue, too
    image = screenshot(canvas(page, plane), f"report-{plane}").astype(int)
    difference = image[..., 0] - image[..., 2]
    return [middle(difference > 60), middle(difference < -60)]


def middle(mask):
    if mask.sum() < 30:
        return None
    return np.argwhere(mask).mean(axis=0) / mask.shape


def place_of(low_high, plane):
    """Where the middle of a block lies in the plane's image, as shares (row, column)."""
    _, rows, columns, upwards = PLANES[plane]
    centre = (np.array(low_high[0]) + low_high[1]) / 2
    row_share, column_share = (centre[rows] - FIRST) / FIELD, (centre[columns] - FIRST) / FIELD
    return np.array([1 - row_share if upwards else row_share, column_share])


@pytest.mark.parametrize("plane", PLANES)
def test_the_heat_lies_where_the_map_is_and_in_no_other_slice(page, plane):
    normal = PLANES[plane][0]
    page.locator("[data-control=outline]").uncheck()
    for number, lies in enumerate((FOR_BLOCK, AGAINST_BLOCK)):
        scroll_to(page, plane, (lies[0][normal] + lies[1][normal]) // 2)
        found = heat(page, plane)
        np.testing.assert_allclose(found[number], place_of(lies, plane), atol=0.02)
        assert found[1 - number] is None
        for beyond in (lies[0][normal] - 1, lies[1][normal]):
            scroll_to(page, plane, beyond)
            assert heat(page, plane)[number] is None


def test_overlay_method_window_and_outline_change_by_keyboard(page):
    scroll_to(page, "axial", 43)
    slider = page.locator("[data-control=opacity]")
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator("[data-tell=opacity-value]").inner_text() == "0 %"
    assert heat(page, "axial")[0] is None
    page.keyboard.press("End")
    assert heat(page, "axial")[0] is not None
    warning = page.locator(".map-warning")
    assert not warning.is_visible()
    page.locator("[data-control=method]").focus()
    page.keyboard.press("ArrowDown")
    assert warning.inner_text().startswith("Do not rely on this map: 1% of its evidence lies inside")
    assert heat(page, "axial")[0] is None
    scroll_to(page, "axial", 20)
    np.testing.assert_allclose(heat(page, "axial")[0], place_of(AGAINST_BLOCK, "axial"), atol=0.02)
    before = screenshot(canvas(page, "axial"), "report-lung").mean()
    canvas(page, "axial").focus()
    page.keyboard.press("w")
    assert screenshot(canvas(page, "axial"), "report-mediastinum").mean() < before - 10
    page.keyboard.press("r")
    assert canvas(page, "axial").get_attribute("aria-valuenow") == "32"


#: Every volume after the first takes a while to unpack.
SLOW_UNPACKING = """
const unpack = Response.prototype.arrayBuffer;
let unpacked = 0;
Response.prototype.arrayBuffer = async function () {
  if (unpacked++) await new Promise((done) => setTimeout(done, 1000));
  return unpack.call(this);
};
"""


def test_what_is_done_while_the_images_still_load_harms_nothing(chromium, report):
    with opened_page(chromium, 1400, 1000) as page:
        page.add_init_script(SLOW_UNPACKING)
        page.goto(report)
        axial = canvas(page, "axial")
        axial.focus()
        for key in ("ArrowUp", "End", "w", "m", "r"):
            page.keyboard.press(key)
        axial.hover()
        page.mouse.wheel(0, -100)
        page.locator("[data-control=reset]").click()
        for width in (1000, 1300, 900):  # the planes are drawn anew at every width
            page.set_viewport_size({"width": width, "height": 1000})
            page.wait_for_timeout(150)
        assert not page.locator(".viewer[data-ready=true]").count()
        page.wait_for_selector(".viewer[data-ready=true]")
        assert axial.get_attribute("aria-valuenow") == "32"
        assert page.problems == []


def test_a_click_moves_the_other_planes_and_the_wheel_the_focused_one(page):
    axial = canvas(page, "axial")
    box = axial.bounding_box()
    down, right = place_of(FOR_BLOCK, "axial")
    axial.click(position={"x": (right + 0.5 / FIELD) * box["width"], "y": (down + 0.5 / FIELD) * box["height"]})
    assert canvas(page, "sagittal").get_attribute("aria-valuenow") == "45"
    assert canvas(page, "coronal").get_attribute("aria-valuenow") == "27"
    page.mouse.wheel(0, -100)
    page.wait_for_function("document.querySelector('canvas[data-plane=axial]').ariaValueNow === '33'")


def test_the_3d_view_shows_the_heat_on_its_side_and_turns_by_keyboard(page):
    page.locator("[data-control=three-d]").focus()
    page.keyboard.press("Enter")
    view = page.locator("canvas.three-d[data-drawn='0']")
    view.wait_for(timeout=120_000)  # shaders are compiled and run in software
    page.evaluate("threeD.niivue.setRenderAzimuthElevation(180, 0)")
    page.wait_for_timeout(500)
    front = screenshot(view, "report-3d").astype(int)
    assert front.std() > 10
    quarter = front.shape[0] // 4  # the orientation cube stands in the lower left corner
    warm = (front[..., 0] - front[..., 2] > 80)[: 3 * quarter]
    assert warm.sum() > 50
    row_share, column_share = np.argwhere(warm).mean(axis=0) / front.shape[:2]
    assert row_share < 0.5  # towards the head
    assert column_share > 0.5  # the patient's left, seen from the front
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    turned = screenshot(view, "report-3d-turned").astype(int)
    assert (np.abs(turned - front).max(axis=2) > 40).sum() > 500


def test_hundreds_of_nodules_sort_and_filter_by_keyboard(chromium, tmp_path):
    rows = [row(f"nodule-{i}", malignancy=1 + (i * 7 % 400) / 100, in_sample=i % 10 == 0) for i in range(400)]
    write_predictions(tmp_path, rows)
    write_report(tmp_path)
    with opened_page(chromium) as page:
        page.goto((tmp_path / "report.html").as_uri())
        names = page.locator("table.cohort tbody th:visible")
        page.get_by_role("button", name="malignancy", exact=True).focus()
        page.keyboard.press("Enter")
        assert names.first.inner_text() == "nodule-0"
        page.keyboard.press("Enter")
        assert names.first.inner_text() == "nodule-57"  # 57 x 7 = 399
        page.locator("#cohort-search").fill("nodule-39")
        assert page.locator("#cohort-count").inner_text() == "11 of 400 nodules"
        page.locator("#cohort-kind").select_option("doubt")
        assert page.locator("#cohort-count").inner_text() == "1 of 400 nodules"
        assert page.problems == []
