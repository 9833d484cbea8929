"""send, fetch-study and watch with a real Orthanc."""

from __future__ import annotations

import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ctxai.cli import main
from ctxai.ct.series import read_series
from ctxai.pacs import delivery
from ctxai.viewer.orthanc import Orthanc, free_port

from commands.test_watch import until, watching
from folders import record_series
from runs import untrained_run
from sphere import SPHERE, centred_grid, sphere_hu
from synthetic_ct import write_ct
from system.orthanc import rest, started_orthanc, stored_bytes

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE_S", 0.1)


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """Six slices that differ everywhere."""
    hu = np.random.default_rng(0).integers(-1000, 400, (6, 24, 20)).astype(np.int16)
    write_ct(tmp_path / "ct", hu)
    return tmp_path / "ct"


@pytest.fixture
def results(ct: Path, tmp_path: Path) -> Path:
    """A result folder whose objects are those images."""
    folder = tmp_path / "out" / "series" / "dicom" / "sc"
    folder.mkdir(parents=True)
    for path in ct.iterdir():
        path.rename(folder / path.name)
    record_series(tmp_path / "out" / "series")
    return tmp_path / "out"


def addresses(server: Orthanc) -> dict[str, list[str]]:
    return {"dicomweb": ["--dicomweb", server.dicomweb_url], "dimse": ["--dimse", server.dimse_address]}


def pixels(files: dict[str, bytes]) -> dict[str, bytes]:
    return {uid: dcmread(BytesIO(content)).PixelData for uid, content in files.items()}


@pytest.mark.parametrize("way", ["dicomweb", "dimse"])
def test_what_is_sent_is_there_with_the_same_pixels(way: str, orthanc: Orthanc, results: Path):
    assert main(["send", str(results), *addresses(orthanc)[way]]) == 0
    sent = [dcmread(path) for path in results.glob("*/dicom/**/*.dcm")]
    assert pixels(stored_bytes(orthanc)) == {one.SOPInstanceUID: one.PixelData for one in sent}


@pytest.mark.parametrize("way", ["dicomweb", "dimse"])
def test_a_server_that_is_down_gets_everything_when_it_is_back(
    way: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    ports = {"http_port": free_port(), "dimse_port": free_port(), "folder": tmp_path / "storage"}
    with started_orthanc(**ports) as server:
        where = addresses(server)[way]
    assert main(["send", str(results), *where, "--attempts", "2"]) == 2
    assert "0 of 6 objects are there" in capsys.readouterr().err
    with started_orthanc(**ports) as server:
        assert main(["send", str(results), *where]) == 0
        assert len(stored_bytes(server)) == 6


def test_an_unknown_title_is_told_so(orthanc: Orthanc, results: Path, capsys: pytest.CaptureFixture):
    command = ["send", str(results), "--dimse", orthanc.dimse_address, "--aet", "STRANGER", "--attempts", "1"]
    assert main(command) == 2
    assert "STRANGER is known there" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["dicomweb", "get", "move"])
def test_a_study_comes_back_with_the_same_voxels(way: str, orthanc: Orthanc, ct: Path, tmp_path: Path):
    orthanc.upload(sorted(ct.iterdir()))
    study = str(dcmread(next(ct.iterdir())).StudyInstanceUID)
    options = addresses(orthanc)["dicomweb" if way == "dicomweb" else "dimse"]
    if way == "move":
        options += ["--move_port", str(orthanc._modalities["CTXAI"][1])]
    assert main(["fetch-study", study, str(tmp_path / "fetched"), *options]) == 0
    (folder,) = (tmp_path / "fetched").iterdir()
    assert np.array_equal(read_series(folder).read(), read_series(ct).read())


def delivered(spool: Path) -> bool:
    return bool(list(spool.glob("results/*/sent.json"))) and not list((spool / "incoming").iterdir())


def test_a_ct_that_orthanc_sends_to_the_watcher_comes_back_as_overlays(tmp_path: Path):
    port, spool, run, points = free_port(), tmp_path / "spool", tmp_path / "run", tmp_path / "points.csv"
    grid = centred_grid((40, 96, 100), (0.8, 0.9, 2.0))
    images = write_ct(tmp_path / "sphere", sphere_hu(grid), grid)
    untrained_run().save(run)
    points.write_text("x,y,z,nodule_id,diameter_mm\n{},{},{},sphere,14\n".format(*SPHERE))
    with started_orthanc(modalities={"CTXAI": ("127.0.0.1", port)}) as server:
        server.upload(images)
        options = ["--run", str(run), "--points", str(points), "--dicomweb", server.dicomweb_url]
        with watching(spool, port, *options) as process:
            (series,) = rest(server, "/series")
            request = urllib.request.Request(f"{server.url}/modalities/CTXAI/store", series.encode())
            urllib.request.urlopen(request, timeout=60).close()
            until(lambda: delivered(spool), process)
        made = {dcmread(path).SOPInstanceUID for path in spool.glob("results/*/*/dicom/**/*.dcm")}
        assert made
        assert set(stored_bytes(server)) == made | {str(dcmread(path).SOPInstanceUID) for path in images}
