import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from ctxai.cli import main
from ctxai.ct.grid import Grid
from ctxai.data.store import NoduleStore
from ctxai.lidc.agreement import agreement_on
from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import LidcDatabase

from folders import contents


def test_every_used_nodule_of_the_tree_is_a_row_in_the_order_of_the_manifest(phantom_store):
    table = phantom_store.table
    assert list(table.patient_id.unique()) == ["LIDC-IDRI-0001", "LIDC-IDRI-0003"]
    assert table.nodule_id.is_monotonic_increasing
    assert len(phantom_store) == len(table) >= 3
    assert (table.fault == "").all()
    assert table.malignancy_ratings.iloc[0] == "5|5|5|4"


def test_the_outlined_voxels_are_denser_than_the_lung_about_them(phantom_store):
    for row in range(len(phantom_store)):
        hu, agreement, valid = phantom_store.hu(row), phantom_store.agreement(row), phantom_store.valid(row)
        inside, outside = agreement >= 2, (agreement == 0) & valid
        assert inside[28:36, 24:40, 24:40].any()
        assert np.median(hu[inside]) > np.percentile(hu[outside], 25) + 100


def test_the_patch_is_centred_on_the_consensus(phantom_store):
    for row in range(len(phantom_store)):
        where = np.argwhere(phantom_store.agreement(row) >= phantom_store.table.n_readers[row] / 2)
        middle = (where.min(axis=0) + where.max(axis=0)) / 2
        np.testing.assert_allclose(middle, 31.5, atol=1.6)  # slices are up to 2.5 mm apart


def test_agreement_keeps_the_volume_of_the_readers_outlines(phantom_store):
    database = LidcDatabase()
    nodules = {n.nodule_id: n for s in database.scans if s.patient_id == "LIDC-IDRI-0001" for n in database.nodules(s)}
    nodule = nodules[phantom_store.table.nodule_id[0]]
    native = reader_masks(nodule).agreement.sum() * nodule.scan.pixel_spacing_mm**2 * nodule.scan.slice_spacing_mm
    assert phantom_store.agreement(0).sum() == pytest.approx(native, rel=0.05)


def test_agreement_counts_readers_where_their_masks_lie():
    nodule = next(n for n in LidcDatabase().all_nodules() if len(n.readings) == 4)
    masks = reader_masks(nodule)
    native = Grid.cube(np.zeros(3), tuple(np.array(masks.start) + masks.agreement.shape + 3), 1.0)
    counted = agreement_on(masks, native, native)
    place = tuple(slice(a, a + n) for a, n in zip(masks.start, masks.agreement.shape, strict=True))
    np.testing.assert_array_equal(counted[place], masks.agreement)
    assert counted.sum() == masks.agreement.sum()


def test_a_second_run_leaves_the_store_as_it_is(phantom_store, phantom_tree):
    before = {path: path.stat().st_mtime_ns for path in phantom_store.path.rglob("*") if "patches.zarr" in str(path)}
    bytes_before = contents(phantom_store.path)
    assert main(["ingest", str(phantom_tree), str(phantom_store.path)]) == 0
    assert contents(phantom_store.path) == bytes_before
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("how", ["shards", "workers", "other file names"])
def test_any_way_of_working_gives_the_same_bytes(phantom_store, phantom_tree, tmp_path, how):
    folder = tmp_path / "store"
    if how == "shards":
        for index in (1, 0):
            assert main(["ingest", str(phantom_tree), str(folder), "--shard", f"{index}/2"]) == 0
        assert main(["ingest", "--merge", str(folder)]) == 0
    elif how == "workers":
        assert main(["ingest", str(phantom_tree), str(folder), "--workers", "2"]) == 0
    else:
        flat = tmp_path / "flat"
        flat.mkdir()
        for number, path in enumerate(sorted(phantom_tree.rglob("*.dcm"), key=lambda p: hash(p.name))):
            shutil.copy(path, flat / f"IM{number:05d}")
        assert main(["ingest", str(flat), str(folder)]) == 0
    assert contents(folder) == contents(phantom_store.path)


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.soak)])
def test_a_killed_ingestion_goes_on_to_the_same_bytes(phantom_store, phantom_tree, tmp_path, kills):
    folder = tmp_path / "store"
    command = [sys.executable, "-m", "ctxai", "ingest", str(phantom_tree), str(folder)]
    killed = 0
    for wait in np.linspace(0.02, 0.4, kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not folder.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed
    assert main(["ingest", str(phantom_tree), str(folder)]) == 0
    assert contents(folder) == contents(phantom_store.path)


def test_a_broken_series_is_reported_by_name_and_stops_no_other(phantom_store, phantom_tree, tmp_path, capsys):
    tree = tmp_path / "dicom"
    shutil.copytree(phantom_tree, tree)
    files = sorted((tree / "LIDC-IDRI-0003").rglob("*.dcm"))
    files[len(files) // 2].unlink()
    folder = tmp_path / "store"
    assert main(["ingest", str(tree), str(folder)]) == 0
    table = NoduleStore(folder).table
    broken = table[table.patient_id == "LIDC-IDRI-0003"]
    assert list(broken.fault[broken.fault != ""]) == ["missing slice: an outline lies on it"]
    assert broken.repairs[broken.fault == ""].str.contains("missing slice").all()
    assert (table[table.patient_id == "LIDC-IDRI-0001"].fault == "").all()
    np.testing.assert_array_equal(NoduleStore(folder).hu(0), phantom_store.hu(0))
    assert "missing slice" in " ".join(capsys.readouterr().err.split())


def test_other_images_under_the_same_names_are_ingested_again(phantom_tree, tmp_path):
    folder = tmp_path / "store"
    tree = tmp_path / "dicom"
    assert main(["phantom", str(tree), "--patients", "LIDC-IDRI-0001", "--margin_mm", "8", "--seed", "5"]) == 0
    assert main(["ingest", str(tree), str(folder)]) == 0
    first = NoduleStore(folder).hu(0)
    shutil.rmtree(tree)
    shutil.copytree(phantom_tree / "LIDC-IDRI-0001", tree / "LIDC-IDRI-0001")
    assert main(["ingest", str(tree), str(folder)]) == 0
    assert (NoduleStore(folder).hu(0) != first).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["empty", "store"], "no DICOM CT image"),
        (["nowhere", "store"], "no such folder"),
        (["tree", "store", "--shard", "2/2"], "--shard 2/2"),
        (["tree", "store", "--cohort", "nobody"], "nobody"),
        (["tree", "store", "--patients", "LIDC-IDRI-0007"], "holds a nodule of the cohort"),
        (["tree"], "STORE_DIR is missing"),
        (["--merge", "nowhere"], "no ingestion was begun"),
    ],
)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
    phantom_tree, tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    arguments = [str(phantom_tree) if argument == "tree" else argument for argument in arguments]
    assert main(["ingest", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_store_begun_with_other_patients_is_not_mixed(phantom_store, phantom_tree, tmp_path, capsys):
    copy = tmp_path / "store"
    shutil.copytree(phantom_store.path, copy)
    assert main(["ingest", str(phantom_tree), str(copy), "--patients", "LIDC-IDRI-0001"]) == 2
    assert "another" in capsys.readouterr().err
    assert contents(copy) == contents(phantom_store.path)


def test_the_real_scan_has_its_one_nodule_read_by_four(lidc_0001, tmp_path):
    assert main(["ingest", str(lidc_0001), str(tmp_path / "store")]) == 0
    store = NoduleStore(tmp_path / "store")
    table = store.table
    assert list(table.nodule_id) == ["LIDC-IDRI-0001-01"]
    assert (table.n_readers[0], table.malignancy_ratings[0], table.fault[0]) == (4, "5|5|5|4", "")
    assert -125 <= table.z[0] <= -105
    assert store.valid(0).all()
    assert np.median(store.hu(0)[store.agreement(0) == 4]) > -100
    assert pd.notna(table.slice_spacing_mm[0])
