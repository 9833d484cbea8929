"""Without Orthanc and OHIF; tests/system/test_review.py opens the viewer itself."""

import shutil
import webbrowser
import zipfile

import pytest

from ctxai.cli import main
from ctxai.commands import review as stage
from ctxai.errors import InputError
from ctxai.viewer.results import ReviewedSeries, reviewed_series


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr("ctxai.viewer.orthanc.find_orthanc", lambda: None)


@pytest.fixture
def opened(monkeypatch):
    """Addresses that a browser was asked to open, on a machine with a screen."""
    addresses = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    return addresses


def test_the_report_is_opened_where_no_viewer_is_installed(nothing_installed, opened, tmp_path, capsys):
    (tmp_path / "report.html").write_text("<p>report</p>")
    assert main(["review", str(tmp_path)]) == 0
    assert opened == [(tmp_path / "report.html").as_uri()]
    said = capsys.readouterr().out
    assert "`make viewer` installs them" in said
    assert str(tmp_path / "report.html") in said


def test_no_browser_only_says_where_the_report_is(nothing_installed, opened, tmp_path, capsys):
    (tmp_path / "report.html").write_text("<p>report</p>")
    assert main(["review", str(tmp_path), "--no-browser"]) == 0
    assert opened == []
    assert str(tmp_path / "report.html") in capsys.readouterr().out


def test_a_folder_that_is_no_result_is_one_line(nothing_installed, tmp_path, capsys):
    assert main(["review", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {tmp_path}: no report.html in it; give a result folder of `ctxai explain`"


@pytest.mark.parametrize("packed", [False, True])
def test_explain_notes_where_the_ct_is_found_again(packed, sphere_ct, run_folder, tmp_path, write_points):
    given = tmp_path / "given"
    if packed:
        with zipfile.ZipFile(given, "w") as archive:
            for file in sphere_ct.rglob("*.dcm"):
                archive.write(file, file.name)
    else:
        shutil.copytree(sphere_ct, given)
    out = tmp_path / "out"
    arguments = ["explain", str(given), str(out), "--run", str(run_folder), "--points", str(write_points())]
    assert main([*arguments, "--formats", "seg"]) == 0
    (series,), _ = reviewed_series(out)
    assert series.ct == given.resolve()
    with stage._ct_images(series, None) as images:
        assert len(images) == len(list(sphere_ct.rglob("*.dcm")))
    given.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is not there; say where it is with --ct FOLDER"):
        stage._ct_images(series, None).__enter__()
    with stage._ct_images(series, tmp_path / "elsewhere") as images:
        assert images


def test_another_ct_is_refused(sphere_ct, tmp_path):
    series = ReviewedSeries("0123456789ab", None, ())
    with pytest.raises(InputError, match="the CT series of 0123456789ab is not among its images"):
        stage._ct_images(series, sphere_ct).__enter__()
    with pytest.raises(InputError, match="it is not recorded where it was"):
        stage._ct_images(series, None).__enter__()
