import numpy as np
import pytest
from made_up_lidc import made_up_nodule, made_up_scan

from ctxai.lidc.annotations import outlines_covered
from ctxai.lidc.database import LidcDatabase
from ctxai.phantom.slice_range import SPAN_LIMIT_MM, slice_window


def test_the_window_reaches_the_margin_beyond_all_nodules():
    scan = made_up_scan(np.arange(0, 300, 2.5))
    nodules = (made_up_nodule(scan, [100, 105]), made_up_nodule(scan, [140]))
    z = slice_window(scan, nodules, 10)
    assert (z[0], z[-1]) == (90, 150)
    assert set(z) <= set(scan.slice_z_mm)


def test_far_nodules_are_given_up_for_those_with_more_readings():
    scan = made_up_scan(np.arange(0, 400, 2.5))
    far, several = made_up_nodule(scan, [20]), [made_up_nodule(scan, [z]) for z in (250, 300)]
    z = slice_window(scan, (far, *several), 10)
    assert (z[0], z[-1]) == (240, 310)


def test_labelled_nodules_count_before_others():
    scan = made_up_scan(np.arange(0, 400, 2.5))
    others = [made_up_nodule(scan, [z], readers=2) for z in (20, 25, 30, 35)]
    z = slice_window(scan, (*others, made_up_nodule(scan, [300])), 10)
    assert z[0] == 290


def test_a_nodule_longer_than_the_limit_is_kept_whole():
    scan = made_up_scan(np.arange(0, 400, 2.5))
    nodule = made_up_nodule(scan, np.arange(50, 50 + SPAN_LIMIT_MM + 30, 2.5))
    assert outlines_covered(nodule, slice_window(scan, (nodule,), 5))


def test_a_change_of_spacing_ends_the_window():
    scan = made_up_scan([*np.arange(0, 100, 2.5), *np.arange(100, 140, 1.25)])
    z = slice_window(scan, (made_up_nodule(scan, [90]),), 30)
    np.testing.assert_allclose(np.diff(z), 2.5)
    assert z[-1] == 100


def test_repeated_positions_come_once():
    scan = made_up_scan([*np.arange(0, 100, 2.5), 50.0])
    z = slice_window(scan, (made_up_nodule(scan, [50]),), 20)
    np.testing.assert_allclose(np.diff(z), 2.5)


def test_a_scan_without_nodules_gives_its_middle():
    scan = made_up_scan(np.arange(0, 200, 5.0))
    z = slice_window(scan, (), 20)
    assert z.mean() == pytest.approx(100, abs=6)


@pytest.mark.parametrize("patient", [123, 267, 514, 672, 85, 146, 418, 572, 979])
def test_scans_with_faulty_positions_give_an_even_window(patient):
    database = LidcDatabase()
    scan = next(s for s in database.scans if s.patient_id == f"LIDC-IDRI-{patient:04d}")
    z = slice_window(scan, database.nodules(scan), 16)
    assert len(z) >= 8
    step = np.diff(z)
    assert np.ptp(step) < 0.02 * max(step[0], 1)
