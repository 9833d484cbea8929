from types import SimpleNamespace

import numpy as np
import pytest

from ctxai.ct.grid import Grid
from ctxai.errors import InputError
from ctxai.explain import FusedMap
from ctxai.export.overlay import merge_maps
from ctxai.export.segmentation import HEAT_BANDS
from ctxai.stages.overlays import merge_spreads, parse_formats

from synthetic_ct import ct_grid

KEY = ("cdam", "malignancy")


def nodule(centre, value, spread):
    """A nodule with a constant map on a patch of 8 voxels."""
    fused = FusedMap(*(np.full((8, 8, 8), number, np.float32) for number in (value, spread)), np.ones((8,) * 3, bool))
    return SimpleNamespace(maps={KEY: fused}, patch=SimpleNamespace(grid=Grid.cube(np.array(centre), (8, 8, 8), 1.0)))


def test_a_voxel_shows_the_spread_of_the_nodule_whose_value_it_shows():
    grid = ct_grid((20, 20, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    low = nodule(grid.centre - 2, 1.0, 0.75)
    high = nodule(grid.centre + 2, -2.0, 0.25)
    zero = nodule(grid.centre + np.array([0.0, 0.0, -4.0]), 0.0, 0.5)
    nodules = [zero, low, high]
    values = merge_maps(((n.maps[KEY].values, n.patch.grid) for n in nodules), grid)
    spread = merge_spreads(nodules, KEY, grid)
    np.testing.assert_array_equal(spread[values == 1], 0.75)
    np.testing.assert_array_equal(spread[values == -2], 0.25)
    assert set(np.unique(spread[values == 0])) == {0.0, 0.5}
    assert (values == 1).sum() > 0
    assert (values == -2).sum() == 8**3


def test_unknown_formats_are_refused():
    assert parse_formats("nifti, seg") == ("nifti", "seg")
    with pytest.raises(InputError, match="expected some of"):
        parse_formats("png")


def test_a_long_target_still_fits_the_label_of_a_segment():
    against = HEAT_BANDS[-1]
    assert against.label("malignancy") == "malignancy: evidence against, 25 % to 100 % of maximum"
    assert against.label("calcification-spiculation") == "calcification-spiculation: against, 25 % to 100 % of maximum"
    for band in HEAT_BANDS:
        assert len(band.label("a" * 64)) <= 64
