"""Series to explain, and the nodules in them."""

import numpy as np
import pytest

from ctxai.annotations import AnnotatedNodule, CTDescription, annotate
from ctxai.annotations.points import Points
from ctxai.ct.search import find_series
from ctxai.ct.slice_sorting import is_volume
from ctxai.errors import GeometryError, InputError
from ctxai.inference.nodules import candidates_of, describe_series, open_series

from synthetic_ct import ct_grid, write_ct

GRID = ct_grid((120, 24, 32), (2.0, 2.0, 1.5))
GAP_AT = 20


@pytest.fixture
def headers(tmp_path):
    """120 slices of 1.5 mm, of which one is missing."""
    write_ct(tmp_path / "ct", np.zeros(GRID.shape, np.int16), GRID)[GAP_AT].unlink()
    (found,) = find_series(tmp_path / "ct").values()
    return found


def nodule(number: float) -> AnnotatedNodule:
    return AnnotatedNodule("a", GRID.to_lps(np.array([15, 12, number])))


def test_a_missing_slice_far_from_the_nodule_is_told_and_touches_nothing(headers, caplog):
    series = open_series(headers, [nodule(90)])
    assert series.regular and len(series.headers) == 120 - GAP_AT - 1
    assert "missing" not in str(series.report.blocking)
    assert f"{120 - GAP_AT - 1} of 119 slices are used" in caplog.text
    (found,) = candidates_of(series, [nodule(90)])
    np.testing.assert_allclose(found.centre_lps, nodule(90).centre_lps)


@pytest.mark.parametrize("places", [[GAP_AT + 10], [GAP_AT - 10], [5, 110]], ids=["above", "below", "both sides"])
def test_a_missing_slice_that_a_patch_reaches_is_refused(headers, places):
    with pytest.raises(GeometryError, match="missing slice"):
        open_series(headers, [nodule(place) for place in places])


def test_localizers_and_images_at_one_position_are_no_volume(tmp_path):
    write_ct(
        tmp_path / "scout",
        np.zeros((2, 8, 8), np.int16),
        attributes={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    )
    write_ct(
        tmp_path / "bolus", np.zeros((4, 8, 8), np.int16), seed="b", attributes={"ImagePositionPatient": [0, 0, 0]}
    )
    write_ct(tmp_path / "ct", np.zeros((4, 8, 8), np.int16), seed="c")
    found = {headers[0].path.parent.name: is_volume(headers) for headers in find_series(tmp_path).values()}
    assert found == {"scout": False, "bolus": False, "ct": True}


def test_points_without_a_series_are_refused_where_there_are_several(tmp_path):
    for seed in "ab":
        write_ct(tmp_path / seed, np.zeros((4, 8, 8), np.int16), seed=seed)
    (tmp_path / "points.csv").write_text("x,y,z\n-49,-39,-118\n")
    described = describe_series(find_series(tmp_path).values())
    assert all(isinstance(one, CTDescription) for one in described)
    with pytest.raises(InputError, match="has no series_uid; expected one of the 2 series found"):
        annotate(Points(tmp_path / "points.csv"), described)
