import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ctxai.ct.series import read_series
from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import Contour, LidcDatabase, Nodule, Reading, Scan

#: Several nodules, several readers, exclusion contours, several contours in a slice, two scans of one patient.
PATIENTS = ["LIDC-IDRI-0003", "LIDC-IDRI-0068", "LIDC-IDRI-0132", "LIDC-IDRI-0186", "LIDC-IDRI-0404"]


def square(low: int, high: int, z: float = 0.0, inclusion: bool = True) -> Contour:
    side = np.arange(low, high)
    points = np.concatenate(
        [
            np.column_stack([np.full_like(side, low), side]),
            np.column_stack([side, np.full_like(side, high)]),
            np.column_stack([np.full_like(side, high), side[::-1] + 1]),
            np.column_stack([side[::-1] + 1, np.full_like(side, low)]),
        ]
    )
    return Contour(inclusion, z, points)


def nodule(*readings: tuple[Contour, ...]) -> Nodule:
    scan = Scan(1, "P", "1.2", "1.3", 1.0, 1.0, False, False, np.arange(-3.0, 4.0))
    return Nodule("P-01", scan, tuple(Reading(i, scan, {}, contours) for i, contours in enumerate(readings)))


def test_points_of_an_outline_lie_outside_the_nodule():
    masks = reader_masks(nodule((square(10, 14),)))
    assert masks.start == (3, 10, 10)
    expected = np.zeros((5, 5), bool)
    expected[1:4, 1:4] = True
    np.testing.assert_array_equal(masks.masks[0, 0], expected)


def test_an_exclusion_contour_cuts_a_hole_that_includes_its_outline():
    masks = reader_masks(nodule((square(10, 20), square(13, 17, inclusion=False))))
    plane = masks.masks[0, 0]
    assert not plane[3:8, 3:8].any()
    assert plane.sum() == 9 * 9 - 5 * 5


def test_agreement_counts_readers_and_consensus_takes_the_level():
    masks = reader_masks(nodule((square(10, 20),), (square(10, 20),), (square(12, 18),), (square(30, 34),)))
    assert sorted(np.unique(masks.agreement)) == [0, 1, 2, 3]
    assert masks.consensus(0.5).sum() == 81
    assert masks.consensus(0.75).sum() == 25
    np.testing.assert_allclose(masks.centre_index(), [3, 15, 15])


def test_readers_who_agree_on_nothing_still_have_a_centre():
    masks = reader_masks(nodule((square(10, 14),), (square(20, 24),), (square(30, 34),)))
    np.testing.assert_allclose(masks.centre_index(), [3, 22, 22])


def test_outlines_follow_the_positions_of_the_series_not_its_numbering():
    masks = reader_masks(nodule((square(10, 14, z=2.0),)), slice_z_mm=np.array([1.0, 2.0, 3.0]))
    assert masks.start[0] == 1


def test_masks_clusters_and_diameters_are_pylidc_s_own(tmp_path):
    script, out = Path(__file__).parent / "pylidc_reference.py", tmp_path / "pylidc.npz"
    done = subprocess.run([sys.executable, "-W", "ignore", script, out, *PATIENTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = np.load(out)
    database = LidcDatabase()
    compared = 0
    for scan in (scan for scan in database.scans if scan.patient_id in PATIENTS):
        for found in database.nodules(scan):
            key = "-".join(str(reading.reading_id) for reading in found.readings)
            masks = reader_masks(found)
            # pylidc has [row, column, slice]
            np.testing.assert_array_equal(masks.masks.transpose(0, 2, 3, 1), expected[f"{key}/masks"])
            np.testing.assert_array_equal(masks.consensus().transpose(1, 2, 0), expected[f"{key}/consensus"])
            np.testing.assert_array_equal(np.array(masks.start)[[1, 2, 0]], expected[f"{key}/start"])
            np.testing.assert_allclose([r.diameter_mm for r in found.readings], expected[f"{key}/diameters"])
            compared += 1
    assert compared == len({name.partition("/")[0] for name in expected.files})
    assert compared >= 20


def test_outlines_fall_on_the_nodule_in_the_real_scan(lidc_0001):
    series = read_series(lidc_0001)
    database = LidcDatabase()
    (found,) = database.nodules(database.by_series[series.series_uid])
    masks = reader_masks(found, series.slice_z_mm)
    np.testing.assert_allclose(series.slice_z_mm, database.by_series[series.series_uid].slice_z_mm)
    start, stop = masks.start, np.array(masks.start) + masks.agreement.shape
    hu = series.read(start[0], stop[0])[:, start[1] : stop[1], start[2] : stop[2]]
    inside, outside = hu[masks.consensus()], hu[masks.agreement == 0]
    assert np.median(inside) > -100
    assert np.median(outside) < -700


@pytest.mark.parametrize("patient", ["LIDC-IDRI-0003"])
def test_a_series_that_covers_part_of_the_scan_gives_the_same_masks(patient):
    database = LidcDatabase()
    scan = next(scan for scan in database.scans if scan.patient_id == patient)
    found = database.nodules(scan)[0]
    whole = reader_masks(found)
    part = reader_masks(found, scan.slice_z_mm[whole.start[0] - 2 :])
    np.testing.assert_array_equal(part.masks, whole.masks)
    assert part.start == (2, *whole.start[1:])
