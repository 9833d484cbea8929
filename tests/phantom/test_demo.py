import numpy as np
import pytest

from ctxai.errors import InputError
from ctxai.lidc.annotations import outlines_covered
from ctxai.lidc.database import LidcDatabase
from ctxai.phantom.demo import demo_cohort
from ctxai.phantom.slice_range import slice_window

MARGIN_MM = 16.0


class Remembering(LidcDatabase):
    """The database, each scan clustered once for all tests."""

    def __init__(self) -> None:
        super().__init__()
        self._known = {}

    def nodules(self, scan):
        if scan.scan_id not in self._known:
            self._known[scan.scan_id] = super().nodules(scan)
        return self._known[scan.scan_id]


@pytest.fixture(scope="module")
def database() -> Remembering:
    return Remembering()


def usable(cohort) -> list[float]:
    """Median malignancy of every usable nodule that the cohort's slices cover."""
    return [
        float(np.median(n.ratings("malignancy")))
        for scan, nodules in cohort
        for n in nodules
        if len(n.readings) >= 3
        and np.median(n.ratings("malignancy")) != 3
        and outlines_covered(n, slice_window(scan, nodules, MARGIN_MM))
    ]


def test_a_hundred_patients_are_small_rich_and_balanced(database):
    cohort = demo_cohort(database, 100, 0, MARGIN_MM)
    assert len({scan.patient_id for scan, _ in cohort}) == 100
    slices = sum(len(slice_window(scan, nodules, MARGIN_MM)) for scan, nodules in cohort)
    assert slices * 2 * 512**2 < 1.7e9
    medians = np.array(usable(cohort))
    assert len(medians) >= 210
    assert 0.8 < (medians > 3).sum() / (medians < 3).sum() < 1.25


def test_only_sound_thin_scans_qualify(database):
    for scan, nodules in demo_cohort(database, 60, 1, MARGIN_MM):
        assert scan.slice_thickness_mm <= 3
        assert np.ptp(np.diff(scan.slice_z_mm)) < 0.02
        assert not any(nodule.ambiguous for nodule in nodules)


def test_the_choice_follows_from_the_seed(database):
    def ids(seed: int) -> list[str]:
        return [scan.patient_id for scan, _ in demo_cohort(database, 20, seed, MARGIN_MM)]

    assert ids(0) == ids(0) == sorted(ids(0))
    assert ids(0) != ids(1)


@pytest.mark.parametrize("count", [0, 5000])
def test_a_number_that_cannot_be_had_is_refused(database, count):
    with pytest.raises(InputError, match="as many as qualify"):
        demo_cohort(database, count, 0, MARGIN_MM)
