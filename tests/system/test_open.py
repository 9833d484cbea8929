"""`ctxai open` as a reader uses it: a click in a real browser, the numbers on the page, a kill, and strangers."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from ctxai.cli import main
from ctxai.ct.series import read_series
from ctxai.inference.nodules import candidates_of

from sphere import SPHERE, centred_grid, sphere_hu
from synthetic_ct import write_ct
from system.accessibility import SIZES, assert_accessible
from system.browser import opened_page, screenshot
from trees import PHANTOM_PATIENTS

pytestmark = pytest.mark.system

PATIENCE_S = 180
NUMBERS = ("malignancy", "malignancy_low", "malignancy_high", "malignancy_probability", "diameter")
HOSTILE = "<img src=x onerror=alert(1)><script>document.title='run'</script>"


@contextlib.contextmanager
def opened(ct: Path, session: Path, *options: str):
    """The running command and the address that it prints."""
    command = [sys.executable, "-m", "ctxai", "open", str(ct), "--out", str(session), "--no-browser", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url), process.stderr.read()
            yield process, url
        finally:
            process.kill()


def until(page, condition: str) -> None:
    """Wait for a condition on the page, whose policy forbids playwright's own way of waiting."""
    deadline = time.monotonic() + PATIENCE_S
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, (condition, page.problems, page.locator("#status").inner_text())
        time.sleep(0.05)


def look(page, url: str) -> None:
    """Open the page and wait for image and model."""
    page.goto(url)
    until(page, "document.getElementById('status').textContent === 'Click a nodule.'")


def click_at(page, ct: Path, lps: np.ndarray) -> None:
    """Scroll to a position and click it in the axial plane, which is still whole."""
    grid = read_series(ct).grid  # axial, slices to superior
    column, row, number = grid.to_index(lps)
    canvas = page.locator("canvas[data-plane=axial]")
    canvas.focus()
    shown = int(re.match(r"axial (\d+)", page.locator(".axial p").inner_text())[1]) - 1
    for _ in range(abs(round(number) - shown)):
        page.keyboard.press("ArrowUp" if number > shown else "ArrowDown")
    until(page, f"document.querySelector('.axial p').textContent.startsWith('axial {round(number) + 1} ')")
    box = canvas.bounding_box()
    width, height = grid.spacing_mm[:2] * grid.shape[:0:-1]
    scale = min(box["width"] / width, box["height"] / height)
    x = (box["width"] - width * scale) / 2 + (column + 0.5) * grid.spacing_mm[0] * scale
    y = (box["height"] - height * scale) / 2 + (row + 0.5) * grid.spacing_mm[1] * scale
    page.mouse.click(box["x"] + x, box["y"] + y)


def numbers(page) -> dict[str, float]:
    """What the page shows, once the map is there."""
    until(page, "['checks', 'done', 'failed'].includes(document.getElementById('answer').dataset.stage)")
    shown = page.evaluate("({...document.getElementById('answer').dataset})")
    assert shown["stage"] != "failed", page.locator("#status").inner_text()
    names = {name: re.sub("_(.)", lambda letter: letter[1].upper(), name) for name in NUMBERS}
    return {name: float(shown[key]) for name, key in names.items()}


def nodules(page) -> list[list[str]]:
    return [row.split("\t") for row in page.locator("#nodules tr").all_inner_texts()]


@pytest.mark.parametrize("kind", ["sphere", "phantom", "real"])
def test_a_click_gives_the_numbers_of_explain_and_a_kill_loses_nothing(kind, request, chromium, tmp_path):
    if kind == "real":
        ct = request.getfixturevalue("lidc_0001")
        centre = candidates_of(read_series(ct), None)[0].centre_lps
    elif kind == "phantom":
        ct = request.getfixturevalue("phantom_tree") / PHANTOM_PATIENTS[0]
        centre = candidates_of(read_series(ct), None)[0].centre_lps
    else:
        ct, centre = request.getfixturevalue("sphere_ct"), SPHERE
    session = tmp_path / "session"
    with opened(ct, session) as (process, url), opened_page(chromium, 1500, 900) as page:
        look(page, url)
        click_at(page, ct, centre)
        shown = numbers(page)
        assert f"Malignancy {shown['malignancy']:.1f}" in page.locator("#answer").inner_text()
        until(page, "document.getElementById('answer').dataset.stage === 'done'")
        image = screenshot(page, f"open-{kind}")
        assert np.ptp(image[..., 0].astype(int) - image[..., 2], axis=(0, 1)) > 100  # colours of outline and map
        assert "longest line across the outline" in page.locator("#diameter").inner_text()
        page.keyboard.press("a")
        until(page, "document.querySelector('#nodules tr').textContent.includes('accepted')")
        page.locator("#text").fill("spiculated")
        page.locator("#rating").select_option("4")
        page.locator("#values-part summary").click()
        page.locator("#values [data-target=spiculation]").fill("5")
        page.locator("[data-verdict=agree]").click()
        kept = "agree, rating 4, spiculation 5, spiculated, map seen"
        until(page, f"document.getElementById('said').textContent.includes('{kept}')")
        assert page.problems == []
        assert all(asked.startswith((url.partition("?")[0], "data:")) for asked in page.requests)
        process.kill()
        process.wait()

    points = pd.read_csv(session / "points.csv")
    assert np.linalg.norm(points.loc[0, ["x", "y", "z"]].to_numpy(float) - centre) < 2.5
    arguments = ["explain", ct, tmp_path / "out", "--points", session / "points.csv", "--no-maps"]
    assert main([*map(str, arguments)]) == 0
    expected = pd.read_csv(tmp_path / "out" / "predictions.csv").loc[0]
    assert shown == pytest.approx({name: expected[name] for name in NUMBERS}, rel=1e-5)

    with opened(ct, session) as (_, url), opened_page(chromium, 1500, 900) as page:
        look(page, url)
        ((name, *_, state),) = nodules(page)
        assert (name, state) == ("nodule-001", "accepted, agree")
        page.locator("canvas[data-plane=axial]").focus()
        page.keyboard.press("j")
        assert numbers(page) == pytest.approx(shown, rel=1e-5)
        page.keyboard.press("r")
        until(page, "document.querySelector('#nodules tr').className === 'rejected'")
    review = pd.read_csv(session / "review.csv")
    assert review.loc[0, ["verdict", "rating", "text", "map_shown"]].tolist() == ["agree", 4, "spiculated", True]
    assert review.loc[0, "reader_spiculation"] == 5
    assert review.loc[0, "model_spiculation"] == pytest.approx(expected["spiculation"], rel=1e-5)
    assert len(pd.read_csv(session / "points.csv")) == 0


def test_axe_core_finds_no_serious_fault_and_nothing_is_cut(chromium, sphere_ct, tmp_path):
    with opened(sphere_ct, tmp_path / "session") as (_, url), opened_page(chromium) as page:
        look(page, url)
        click_at(page, sphere_ct, SPHERE)
        until(page, "document.getElementById('answer').dataset.stage === 'done'")
        page.keyboard.press("r")
        until(page, "document.querySelector('#nodules tr').className === 'rejected'")
        page.locator("summary", has_text="All ratings").click()
        probability = page.locator("#ratings tr", has_text="malignancy probability").inner_text()
        assert re.fullmatch(r"malignancy probability(\s(to )?((under|over) )?\d+ %){3}", probability), probability
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            assert_accessible(page, f"open-accessible-{size}")
        assert page.problems == []


def test_a_dragged_mark_moves_and_a_key_removes_it(chromium, sphere_ct, tmp_path):
    with opened(sphere_ct, tmp_path / "session") as (_, url), opened_page(chromium) as page:
        look(page, url)
        click_at(page, sphere_ct, SPHERE)
        before = numbers(page)
        place = page.locator("#marks-told").inner_text()
        box = page.locator("canvas[data-plane=axial]").bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 20, middle[1], steps=4)
        page.mouse.up()
        until(page, "document.getElementById('before').textContent.startsWith('Before the mark was moved')")
        assert numbers(page) != before
        assert page.locator("#marks-told").inner_text() != place
        page.keyboard.press("Delete")
        until(page, "document.querySelectorAll('#nodules tr').length === 0")


def test_a_cross_is_moved_by_keys_and_enter_marks_there(chromium, sphere_ct, tmp_path):
    with opened(sphere_ct, tmp_path / "session") as (process, url), opened_page(chromium) as page:
        look(page, url)
        page.keyboard.press("Tab")
        focused = "document.activeElement.dataset.plane"
        assert page.evaluate(focused) == "axial"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "2px"
        plain = screenshot(page, "open-without-cross")
        page.keyboard.press("Enter")  # no cross, no mark
        page.keyboard.press("Shift+ArrowLeft")
        until(page, "document.getElementById('status').textContent.startsWith('Cross at ')")
        start = cross(page)
        assert (screenshot(page, "open-cross") != plain).any()
        for keys in ("Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"):
            before = cross(page)
            page.keyboard.press(keys)
            assert np.flatnonzero(cross(page) != before).tolist() == [0 if keys.endswith(("Left", "Right")) else 1]
        np.testing.assert_allclose(cross(page), start, atol=0.11)
        go_to(page, SPHERE[:2], across=0, down=1)
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == "coronal"
        go_to(page, SPHERE[::2], across=0, down=2)
        assert nodules(page) == []
        here = cross(page)
        page.keyboard.press("Enter")
        shown = numbers(page)
        assert page.problems == []
        process.kill()
        process.wait()
    points = pd.read_csv(tmp_path / "session" / "points.csv")
    np.testing.assert_allclose(points.loc[0, ["x", "y", "z"]].to_numpy(float), here, atol=0.06)
    assert np.linalg.norm(here - SPHERE) < 2
    arguments = ["explain", sphere_ct, tmp_path / "out", "--points", tmp_path / "session" / "points.csv", "--no-maps"]
    assert main([*map(str, arguments)]) == 0
    expected = pd.read_csv(tmp_path / "out" / "predictions.csv").loc[0]
    assert shown == pytest.approx({name: expected[name] for name in NUMBERS}, rel=1e-5)


def cross(page) -> np.ndarray:
    """Where the page says that its cross is, LPS mm."""
    return np.array(re.findall(r"-?\d+\.\d", page.locator("#status").inner_text())[:3], dtype=float)


def go_to(page, place: np.ndarray, across: int, down: int) -> None:
    """Move the cross by arrow keys in the plane that has the focus, until no step brings it nearer."""
    for axis, wanted, (less, more) in (
        (across, place[0], ("ArrowLeft", "ArrowRight")),
        (down, place[1], ("ArrowUp", "ArrowDown") if down == 1 else ("ArrowDown", "ArrowUp")),
    ):
        off = cross(page)[axis] - wanted
        for _ in range(500):
            page.keyboard.press(f"Shift+{less if off > 0 else more}")
            before, off = off, cross(page)[axis] - wanted
            if before * off <= 0:
                break


def test_two_targets_are_contrasted_and_methods_switched(chromium, sphere_ct, tmp_path):
    with opened(sphere_ct, tmp_path / "session") as (_, url), opened_page(chromium) as page:
        look(page, url)
        click_at(page, sphere_ct, SPHERE)
        numbers(page)
        whole = screenshot(page.locator("canvas[data-plane=axial]"), "open-one-target")
        for field, value in (("minus", "texture"), ("method", "agcam")):
            page.locator(f"#{field}").select_option(value)
            until(page, "document.getElementById('answer').dataset.stage !== 'done'")
            until(page, "document.getElementById('answer').dataset.stage === 'done'")
            other = screenshot(page.locator("canvas[data-plane=axial]"), f"open-{value}")
            assert (whole != other).any()
            whole = other
        assert page.problems == []


def test_proposals_are_walked_through_accepted_and_rejected_by_keys(chromium, sphere_ct, tmp_path):
    marks = tmp_path / "candidates.csv"
    first, second = SPHERE, SPHERE + np.array([12.0, 0.0, 4.0])
    marks.write_text("x,y,z,nodule_id,diameter_mm,score\n{},{},{},a,14,0.9\n{},{},{},b,6,0.2\n".format(*first, *second))
    with opened(sphere_ct, tmp_path / "s", "--points", str(marks)) as (process, url), opened_page(chromium) as page:
        look(page, url)
        assert [row[-1] for row in nodules(page)] == ["proposed (score 0.90)", "proposed (score 0.20)"]
        assert page.locator("canvas[data-plane=axial]").evaluate("canvas => (canvas.focus(), true)")
        for key, name, state in (("a", "a", "accepted"), ("r", "b", "rejected")):
            page.keyboard.press("j")
            until(page, f"document.getElementById('answer-name').textContent === '{name}'")
            if name == "a":
                numbers(page)
                screenshot(page, "open-proposals")
            page.keyboard.press(key)
            until(page, f"document.querySelector('[data-nodule={name}]').className === '{state}'")
        page.keyboard.press("j")
        until(page, "document.getElementById('answer-name').textContent === 'a'")
        page.keyboard.press("k")
        until(page, "document.getElementById('answer-name').textContent === 'b'")
        process.kill()
        process.wait()
    kept = pd.read_csv(tmp_path / "s" / "points.csv")
    assert kept["nodule_id"].tolist() == ["a"]
    with opened(sphere_ct, tmp_path / "s", "--points", str(marks)) as (_, url), opened_page(chromium) as page:
        look(page, url)
        assert [row[-1] for row in nodules(page)] == ["accepted (score 0.90)", "rejected (score 0.20)"]


def test_the_prior_study_of_the_patient_is_shown_beside_and_no_other_patient(chromium, tmp_path):
    grid = centred_grid((40, 96, 100), (0.8, 0.9, 2.0))
    for seed, date, patient in (("now", "20200102", "A"), ("before", "20190102", "A"), ("else", "20190101", "B")):
        told = {"SeriesDescription": seed, "StudyDate": date, "PatientID": patient}
        write_ct(tmp_path / "ct" / seed, sphere_hu(grid), grid, seed=seed, attributes=told)
    with opened(tmp_path / "ct", tmp_path / "session") as (_, url), opened_page(chromium) as page:
        page.goto(url)
        until(page, "document.getElementById('series').options.length === 3")
        names = page.locator("#series option").all_inner_texts()
        page.locator("#series").select_option(index=next(n for n, name in enumerate(names) if "now" in name))
        until(page, "[...document.getElementById('beside').options].some(one => one.textContent.startsWith('prior: '))")
        offered = page.locator("#beside option").all_inner_texts()
        assert len(offered) == 2
        assert "before" in offered[1]
        page.locator("#beside").select_option(index=1)
        until(page, "document.querySelector('.beside p').textContent.startsWith('beside: axial')")
        until(page, "document.getElementById('status').textContent === 'Click a nodule.'")
        click_at(page, tmp_path / "ct" / "now", SPHERE)
        numbers(page)
        own, other = (page.locator(f".{name} p").inner_text() for name in ("axial", "beside"))
        assert own == other.removeprefix("beside: ")  # at the same height
        image = screenshot(page.locator(".beside canvas"), "open-prior")
        assert np.ptp(image) > 100
        page.locator(".beside canvas").hover()
        page.mouse.wheel(0, 100)
        until(page, f"document.querySelector('.beside p').textContent !== '{other}'")
        assert page.problems == []


def test_dicom_objects_are_written_from_the_page(chromium, sphere_ct, tmp_path):
    with opened(sphere_ct, tmp_path / "session") as (_, url), opened_page(chromium) as page:
        look(page, url)
        click_at(page, sphere_ct, SPHERE)
        numbers(page)
        page.locator("#rating").select_option("4")
        page.locator("[data-verdict=agree]").click()
        until(page, "document.getElementById('said').textContent.includes('agree')")
        page.locator("#write").click()
        until(page, "document.getElementById('written').textContent.startsWith('Written in ')")
        assert page.problems == []
    written = {path.parent.name: pydicom.dcmread(path) for path in (tmp_path / "session").glob("*/dicom/*/*.dcm")}
    assert {name: one.Modality for name, one in written.items()} == {"seg": "SEG", "sr": "SR"}
    assert (tmp_path / "session" / "points.csv").is_file()
    assert len([*(tmp_path / "session").glob("*.mrk.json")]) == 1


def test_finished_results_are_shown_the_same_way_without_the_ct(chromium, sphere_ct, tmp_path, write_points):
    arguments = ["explain", sphere_ct, tmp_path / "out", "--points", write_points(), "--formats", "nifti"]
    assert main([*map(str, arguments)]) == 0
    (expected,) = pd.read_csv(tmp_path / "out" / "predictions.csv").to_dict("records")
    with opened(tmp_path / "out", tmp_path / "session") as (_, url), opened_page(chromium) as page:
        page.goto(url)
        until(page, "document.querySelectorAll('#nodules tr').length === 1")
        page.locator("#nodules tr").click()
        assert numbers(page) == pytest.approx({name: expected[name] for name in NUMBERS}, rel=1e-9)
        image = screenshot(page, "open-finished")
        assert np.ptp(image[..., 0].astype(int) - image[..., 2], axis=(0, 1)) > 100  # colours of the map
        page.keyboard.press("y")
        until(page, "document.getElementById('said').textContent.includes('agree')")
        assert page.problems == []
    assert len(pd.read_csv(tmp_path / "session" / "review.csv")) == 1


def test_a_hostile_description_is_text(chromium, tmp_path):
    grid = centred_grid((40, 96, 100), (0.8, 0.9, 2.0))
    write_ct(tmp_path / "ct", sphere_hu(grid), grid, attributes={"SeriesDescription": HOSTILE[:64]})
    with opened(tmp_path / "ct", tmp_path / "session") as (_, url), opened_page(chromium) as page:
        page.on("dialog", lambda dialog: page.problems.append("a script has run"))
        look(page, url)
        assert HOSTILE[:64] in page.locator("#series").inner_text()
        assert page.locator("#series img, #series script").count() == 0
        assert page.problems == []
        assert page.title() == "ctxai"


class _Stranger(http.server.BaseHTTPRequestHandler):
    """A page of another origin, which asks an address that its own address names."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *arguments):
        pass


def test_another_origin_another_host_and_a_second_browser_are_refused(chromium, sphere_ct, tmp_path):
    with opened(sphere_ct, tmp_path / "session") as (_, url), opened_page(chromium) as page:
        look(page, url)
        address = url.partition("/?")[0]
        host = address.removeprefix("http://")
        for headers, status in (({"Host": "evil.example"}, 403), ({"Host": host}, 403)):
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request("GET", "/state", headers=headers)
            assert connection.getresponse().status == status
            connection.close()
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stranger) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            other = page.context.new_page()  # the same browser, which has the cookie
            other.goto(f"http://127.0.0.1:{server.server_address[1]}/")
            mark = json.dumps({"series": "x"})
            for options in ("{credentials: 'include'}", f"{{method: 'POST', mode: 'no-cors', body: '{mark}'}}"):
                said = other.evaluate(
                    f"fetch('{address}/state', {options}).then(a => a.type + a.status, () => 'refused')"
                )
                assert said in ("refused", "opaque0")
            assert other.evaluate(f"fetch('{address}/state').then(a => a.text(), () => 'refused')") == "refused"
            server.shutdown()
        with opened_page(chromium) as second:
            second.goto(url)
            assert "has been used by another browser" in second.locator("body").inner_text()
        assert page.evaluate("fetch('/state').then(answer => answer.status)") == 200
    assert (tmp_path / "session" / "points.csv").read_text().count("\n") == 1
