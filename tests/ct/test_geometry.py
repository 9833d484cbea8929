import numpy as np
import pytest

from ctxai.ct.geometry import Fault, GeometryReport, spacing_faults
from ctxai.errors import GeometryError

REGULAR = np.arange(10) * 2.5 - 100


@pytest.mark.parametrize(
    ("distances", "fault"),
    [
        (np.delete(REGULAR, 4), Fault.MISSING_SLICE),
        (np.sort(np.append(REGULAR, REGULAR[3])), Fault.DUPLICATED_POSITION),
        (REGULAR + np.where(np.arange(10) % 2, 0.4, 0), Fault.NON_UNIFORM_SPACING),
        (REGULAR[:1], Fault.SINGLE_SLICE),
        (np.repeat(REGULAR[0], 3), Fault.DUPLICATED_POSITION),
    ],
)
def test_each_fault_of_the_slice_distances_is_named(distances, fault):
    assert fault in spacing_faults(distances)


def test_regular_slices_have_no_fault_even_when_the_scanner_rounded():
    assert spacing_faults(REGULAR) == {}
    assert spacing_faults(np.round(np.arange(200) * 0.6249999, 2)) == {}


def test_only_harmful_faults_refuse_the_series_and_all_are_told_in_one_line():
    GeometryReport("s", {Fault.TILT: "5 degrees", Fault.LOCALIZER: "1 image"}).require_regular()
    report = GeometryReport("s", {Fault.MISSING_SLICE: "1 gap", Fault.MIXED_ORIENTATION: "2 slices"})
    with pytest.raises(GeometryError, match="missing slice: 1 gap; mixed orientation: 2 slices") as raised:
        report.require_regular()
    assert "\n" not in str(raised.value)
