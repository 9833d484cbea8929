from types import SimpleNamespace

import numpy as np
import pytest

from ctxai.ct.grid import Grid
from ctxai.errors import InputError
from ctxai.explain.fuse import FusedMap
from ctxai.export.provenance import Provenance
from ctxai.files import write_text
from ctxai.inference.formats.base import FORMATS, MapOverlay, OutputFormat, format_names, needs_headers, parse_formats
from ctxai.inference.options import ExplainOptions
from ctxai.inference.overlays import write_overlays

from made_up_readings import marked, row, scan
from synthetic_ct import ct_grid

METHOD = SimpleNamespace(name="cdam", options={}, reference="a paper", signed=True)
KEY = ("cdam", "malignancy")


def nodule(centre, value, std):
    """A nodule with a constant map on a patch of 8 voxels."""
    fused = FusedMap(*(np.full((8, 8, 8), number, np.float32) for number in (value, std)), np.ones((8,) * 3, bool))
    return SimpleNamespace(maps={KEY: fused}, patch=SimpleNamespace(grid=Grid.cube(np.array(centre), (8, 8, 8), 1.0)))


def test_a_voxel_shows_the_standard_deviation_of_the_nodule_whose_value_it_shows():
    grid = ct_grid((20, 20, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    low = nodule(grid.centre - 2, 1.0, 0.75)
    high = nodule(grid.centre + 2, -2.0, 0.25)
    zero = nodule(grid.centre + np.array([0.0, 0.0, -4.0]), 0.0, 0.5)
    nodules = [zero, low, high]
    overlay = MapOverlay(Provenance(*KEY), KEY, nodules, grid)
    values, std = overlay.values, overlay.std.array
    np.testing.assert_array_equal(std[values == 1], 0.75)
    np.testing.assert_array_equal(std[values == -2], 0.25)
    assert set(np.unique(std[values == 0])) == {0.0, 0.5}
    assert (values == 1).sum() > 0
    assert (values == -2).sum() == 8**3


def test_unknown_formats_are_refused():
    assert parse_formats("nifti, seg") == ("nifti", "seg")
    with pytest.raises(InputError, match=r"expected some of nifti,.* did you mean nifti"):
        parse_formats("nifty")


def test_formats_have_one_order_whatever_the_order_they_are_asked_for_in():
    assert parse_formats("sr,seg,nifti,seg") == ("nifti", "seg", "sr")


def test_a_format_of_a_third_party_is_found_by_its_name_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(FORMATS, "_items", {name: FORMATS.get(name) for name in format_names()})

    class Volumes(OutputFormat):
        """The volume of each nodule's evidence as text; what a third party would write."""

        name = "volumes_in_a_test"
        summary = "text"
        dicom = False

        def write_map(self, output, overlay):
            write_text(output.folder / "volumes.txt", f"{overlay.provenance.stem} {int((overlay.values > 0).sum())}\n")
            return []

    series = scan(tmp_path / "ct")
    options = ExplainOptions(
        None,
        SimpleNamespace(name="run", weights_sha256="", own=None),
        [METHOD],
        ["malignancy"],
        (),
        parse_formats(Volumes.name),
    )
    write_overlays(tmp_path / "out", series, [marked(series)], [row()], options)
    assert (tmp_path / "out" / "volumes.txt").read_text().startswith("cdam_malignancy ")
    assert not needs_headers(options.formats)
