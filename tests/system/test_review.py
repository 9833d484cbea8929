"""`ctxai review` as a user runs it: from a result folder to a picture on the screen, and nothing left afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ctxai.cli import main
from ctxai.viewer import find_ohif, find_orthanc

from runs import untrained_run
from synthetic_ct import ct_grid, write_ct
from system.browser import opened_page
from system.ohif import coloured, is_there, look_at, open_address
from system.requirements import require

pytestmark = pytest.mark.system

GRID = ct_grid((24, 64, 64), (1.0, 1.0, 2.0))
CENTRE = GRID.to_lps(np.array([36, 28, 14]))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of `ctxai explain` on a CT with one dense ball."""
    folder = tmp_path_factory.mktemp("review")
    distance_mm = np.linalg.norm(GRID.to_lps(np.indices(GRID.shape)[::-1].T).T - CENTRE[:, None, None, None], axis=0)
    hu = np.where(distance_mm < 6, 40, -850) + np.random.default_rng(0).integers(-40, 40, GRID.shape)
    write_ct(folder / "ct", hu.astype(np.int16), GRID)
    untrained_run().save(folder / "run")
    (folder / "points.csv").write_text("x,y,z\n{},{},{}\n".format(*CENTRE))
    arguments = ["explain", folder / "ct", folder / "out", "--run", folder / "run", "--points", folder / "points.csv"]
    assert main([str(one) for one in [*arguments, "--formats", "pmap,seg,sr", "--no-trust"]]) == 0
    return folder / "out"


@contextlib.contextmanager
def reviewed(results: Path, *options: str):
    """The running command and the address that it prints."""
    require(find_orthanc() is not None and find_ohif() is not None, "a viewer", "Orthanc and OHIF with `make viewer`")
    command = [sys.executable, "-m", "ctxai", "review", str(results), "--no-browser", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            key, url = line.split()
            assert key == next(path.name for path in results.iterdir() if path.is_dir())
            yield process, url
        finally:
            process.kill() if process.poll() is None else None


def ended(process: subprocess.Popen, number: signal.Signals) -> tuple[int, str, str]:
    """End the command; its exit code and what it has said since."""
    process.send_signal(number)
    # Not communicate(), which forgets what came with the first line.
    said, complained = process.stdout.read(), process.stderr.read()
    return process.wait(120), said, complained


def children(process: subprocess.Popen) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_the_study_opens_with_its_overlay_and_ctrl_c_leaves_nothing(results, chromium):
    with reviewed(results) as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/viewer\?StudyInstanceUIDs=[\d.]+&initial.*=2\.25\.\d+", url)
        with opened_page(chromium, 1000, 700) as page:
            open_address(page, url)
            slice_shown = "cornerstone.getEnabledElements()[0].viewport.getCurrentImageIdIndex()"
            maps = page.get_by_role("toolbar", name="Maps").get_by_role("button")
            maps.first.wait_for()
            assert [(one.text_content(), one.get_attribute("aria-pressed")) for one in maps.all()] == [
                ("cdam malignancy", "true")
            ]
            row = pd.read_csv(results / "predictions.csv").iloc[0]
            value, low, high = (row[f"malignancy{end}"] for end in ("", "_low", "_high"))
            answer = f"{row.nodule_id}: malignancy {value:.1f} of 5 (90 % interval {low:.1f} to {high:.1f})"
            page.get_by_role("button", name=answer).wait_for()
            image_number = page.get_by_text("/24)").bounding_box()
            bar = page.locator("#ctxai-bar").bounding_box()
            assert bar["y"] + bar["height"] <= image_number["y"]
            for share in ("for, 25 % to 50 % of", "for, 50 % to 75 % of", "for, 75 % of", "against, 25 % of"):
                page.get_by_text(f"malignancy: evidence {share} scale").wait_for()
            assert abs(page.evaluate(slice_shown) - 14) <= 3 or abs(23 - page.evaluate(slice_shown) - 14) <= 3
            assert is_there(coloured(look_at(page, CENTRE, "review", lambda image: is_there(coloured(image)))))
        root = url.partition("/viewer")[0]
        with urllib.request.urlopen(f"{root}/dicom-web/series", timeout=60) as response:
            modalities = {one["00080060"]["Value"][0] for one in json.load(response)}
        assert modalities == {"CT", "SEG", "OT", "SR"}
        left = children(process)
        assert left
        code, said, complained = ended(process, signal.SIGINT)
        assert (code, complained) == (0, "")
        assert "Research use only" in said
        assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(root, timeout=5)


def test_a_request_to_end_leaves_nothing_either(results):
    with reviewed(results, "--overlay", "map") as (process, url):
        left = children(process)
        assert ended(process, signal.SIGTERM)[0] == 0
        assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]
    assert url.count("=2.25.") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_a_kill_ends_orthanc_too_and_the_next_removes_its_copy_of_the_images(results, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with reviewed(results) as (process, _):
        (orthanc,) = children(process)
        (held,) = tmp_path.glob("ctxai-temporary-*")
        ended(process, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while is_running(orthanc):
        assert time.monotonic() < deadline, "Orthanc goes on"
        time.sleep(0.1)
    os.utime(held, (0, 0))  # as one of a while ago
    with reviewed(results):
        assert not held.exists()


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie that nobody has waited for."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def test_no_patient_is_named_in_what_it_says(results):
    with reviewed(results) as (process, url):
        _, said, complained = ended(process, signal.SIGTERM)
    for text in (url, said, complained):
        assert "Phantom" not in text
        assert "SYNTHETIC" not in text


def test_a_ct_that_has_moved_is_one_line(results, tmp_path, capsys):
    ct = json.loads(next(results.glob("*/explained.json")).read_text())["ct"]
    away = Path(ct).rename(tmp_path / "away")
    try:
        assert main(["review", str(results), "--no-browser"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("is not there; say where it is with --ct FOLDER")
        with reviewed(results, "--ct", str(away)) as (process, _):
            assert ended(process, signal.SIGTERM)[0] == 0
    finally:
        away.rename(ct)
