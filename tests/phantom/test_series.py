import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from ctxai.ct.series import read_series
from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import LidcDatabase
from ctxai.phantom import make_series, series_folder
from ctxai.phantom.scanner import render
from ctxai.phantom.scanner.render import Chest
from ctxai.phantom.slice_range import slice_window

PATIENT = "LIDC-IDRI-0003"
MARGIN_MM = 3.0


@pytest.fixture(scope="module")
def scan():
    return next(scan for scan in LidcDatabase().scans if scan.patient_id == PATIENT)


@pytest.fixture(scope="module")
def nodules(scan):
    return LidcDatabase().nodules(scan)[1:2]


@pytest.fixture(scope="module")
def root(scan, nodules, tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom")
    make_series(scan, nodules, root, margin_mm=MARGIN_MM)
    return root


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_slices_lie_where_the_real_ones_do(scan, nodules, root):
    series = read_series(series_folder(scan, root))
    np.testing.assert_allclose(series.slice_z_mm, slice_window(scan, nodules, MARGIN_MM))
    assert set(series.slice_z_mm) <= set(scan.slice_z_mm)
    assert series.series_uid == scan.series_uid


def test_tissues_have_their_hounsfield_units(scan, nodules, root):
    series = read_series(series_folder(scan, root))
    hu = series.read(0, len(series.slice_z_mm))
    (nodule,) = nodules
    masks = reader_masks(nodule, series.slice_z_mm)
    box = tuple(slice(a, a + n) for a, n in zip(masks.start, masks.masks.shape[1:], strict=True))
    assert np.median(hu[box][masks.consensus()]) > -300
    lung = hu[:, 200:320, 100:400]
    assert -910 < np.median(lung[lung < -700]) < -800
    assert (hu[:, 256] > 250).any()  # bone
    assert -1020 < np.median(hu[:, 20, 200:300]) < -980  # air


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_chest(scan, nodules, root, tmp_path):
    first = digests(series_folder(scan, root))
    assert digests(make_series(scan, nodules, tmp_path / "again", margin_mm=MARGIN_MM)) == first
    other = digests(make_series(scan, nodules, tmp_path / "other", margin_mm=MARGIN_MM, seed=1))
    assert set(other) == set(first)
    assert all(other[name] != first[name] for name in first)


def test_slices_do_not_depend_on_how_many_are_painted_together(scan, nodules, monkeypatch):
    z_mm = slice_window(scan, nodules, MARGIN_MM)
    whole = [image for image, _ in Chest(scan, nodules, z_mm, 0)._clean(0)]
    monkeypatch.setattr(render, "CHUNK", 5)
    part = [image for image, _ in Chest(scan, nodules, z_mm, 0)._clean(5)]
    assert np.abs(part[1] - whole[6]).mean() < 0.5


def test_a_series_that_is_there_is_kept_and_what_a_killed_run_left_goes(scan, nodules, tmp_path):
    folder = series_folder(scan, tmp_path)
    left = folder.parent / f".4194305.partial.{folder.name}"  # above the largest process number
    left.mkdir(parents=True)
    (left / "0001.dcm").write_bytes(b"half")
    make_series(scan, nodules, tmp_path, margin_mm=0)
    assert not left.exists()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    make_series(scan, nodules, tmp_path, margin_mm=0)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_instance_numbers_run_from_the_head_down(scan, root):
    files = [pydicom.dcmread(p, stop_before_pixels=True) for p in series_folder(scan, root).iterdir()]
    order = sorted(files, key=lambda f: f.InstanceNumber)
    assert np.all(np.diff([float(f.ImagePositionPatient[2]) for f in order]) < 0)
    assert len({f.SOPInstanceUID for f in files}) == len(files)


def test_pylidc_itself_reads_the_series(scan, root, tmp_path):
    (tmp_path / ".pylidcrc").write_text(f"[dicom]\npath = {root}\nwarn = True\n")
    script, out = Path(__file__).parent / "pylidc_phantom.py", tmp_path / "out.npz"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, PATIENT, out],
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(out)
    series = read_series(series_folder(scan, root))
    assert Path(str(found["path"])) == series_folder(scan, root)
    np.testing.assert_allclose(found["z"], series.slice_z_mm)
    volume = np.maximum(found["volume"].transpose(2, 0, 1), -1024)  # pylidc keeps the padding outside the circle
    np.testing.assert_array_equal(volume, series.read(0, len(series.slice_z_mm)))
