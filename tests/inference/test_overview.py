import json

import numpy as np
import pytest
from PIL import Image

from ctxai.ct.series import read_series
from ctxai.errors import InputError
from ctxai.explain import CDAM
from ctxai.inference.nodule import explain_nodule
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.options import ExplainOptions
from ctxai.inference.overview import make_overview, marked_picture, write_overview
from ctxai.inference.predictions import prediction_row
from ctxai.report.overview import read_overview

from runs import untrained_run
from synthetic_ct import ct_grid, write_ct

#: Middle of the body, LPS mm.
MIDDLE = np.array([10.0, -20.0, 30.0])


def body(folder, offset=(0, 0, 0), **options):
    """A CT of a body of 200 x 130 mm with air in it, and a candidate beside its middle, with the CT."""
    grid = ct_grid((40, 110, 120), (2.0, 2.0, 2.5), tuple(MIDDLE), **options)
    slices, rows, columns = np.meshgrid(*map(np.arange, grid.shape), indexing="ij")
    x, y, _ = np.moveaxis(grid.to_lps(np.stack([columns, rows, slices], axis=-1)) - grid.centre, -1, 0)
    hu = np.where((np.abs(x) < 100) & (np.abs(y) < 65), -850, -1000)
    hu[
        ((np.abs(x) > 85) & (np.abs(x) < 100) & (np.abs(y) < 65))
        | ((np.abs(y) > 50) & (np.abs(y) < 65) & (np.abs(x) < 100))
    ] = 40
    write_ct(folder, hu.astype(np.int16), grid)
    series = read_series(folder)
    candidate = NoduleCandidate("one", grid.centre + np.array(offset), diameter_mm=10.0)
    run = untrained_run()
    return series, explain_nodule(series, candidate, run, [CDAM(run.model)], ["malignancy"], run.views.views, False)


@pytest.mark.parametrize(("x", "side"), [(40.0, "left"), (-40.0, "right"), (5.0, None)])
def test_the_side_is_that_of_the_middle_of_the_body(tmp_path, x, side):
    overview, _ = make_overview(*body(tmp_path, (x, 0, 0)))
    assert overview.side == side


def test_the_mark_lies_on_the_nodule_and_the_letters_at_their_edges(tmp_path):
    overview, hu = make_overview(*body(tmp_path, (40.0, -20.0, 0)))
    assert hu.shape == (110, 120)
    assert overview.mark == pytest.approx((0.5 + 40 / 240, 0.5 - 20 / 220), abs=0.01)
    assert overview.radius == pytest.approx(5 / 240, abs=1e-3)
    assert overview.letters == "APRL"


def test_image_numbers_follow_the_slices_of_the_patch(tmp_path):
    series, nodule = body(tmp_path, (0, 0, 20.6))
    overview, _ = make_overview(series, nodule)
    z = [nodule.patch.grid.to_lps(np.array([0, 0, k]))[2] for k in range(64)]
    numbers = {header.instance_number: header.position[2] for header in series.headers}
    for k, number in enumerate(overview.patch_images):
        if number is not None:
            assert abs(numbers[number] - z[k]) <= 1.25 + 0.5 + 1e-6  # the patch's centre lies between two slices
    assert overview.patch_images[-1] is None  # beyond the last slice
    assert overview.images == 40


@pytest.mark.parametrize("z", np.arange(-1.25, 1.26, 0.25))
def test_the_slice_in_the_middle_has_the_image_number_of_the_nodule(tmp_path, z):
    overview, _ = make_overview(*body(tmp_path, (0, 0, z)))
    assert overview.image == overview.patch_images[32]


def test_the_printed_slice_has_a_ring_about_the_nodule(tmp_path):
    series, nodule = body(tmp_path, (40.0, -20.0, 0))
    picture = np.asarray(marked_picture(series, *make_overview(series, nodule))).astype(int)
    ring = np.argwhere(picture[..., 0] - picture[..., 2] > 150)
    share = (ring.min(axis=0) + ring.max(axis=0)) / 2 / picture.shape[:2]
    assert share == pytest.approx((0.5 - 20 / 220, 0.5 + 40 / 240), abs=0.02)


@pytest.mark.parametrize("z", [-1.0, 0.0, 1.0, 20.0])  # 0 and 20 mm lie in the middle between two slices
def test_the_slice_is_the_one_that_predictions_csv_names(tmp_path, z):
    series, nodule = body(tmp_path, (0, 0, z))
    row = prediction_row(series, nodule, ExplainOptions(None, untrained_run(), [], [], ()))
    assert make_overview(series, nodule)[0].image == row["InstanceNumber"]


def test_it_is_read_as_it_was_written_and_a_damaged_one_is_refused(tmp_path):
    series, nodule = body(tmp_path / "ct", (40.0, 0, 0))
    write_overview(tmp_path, series, nodule)
    folder = tmp_path / "nodules" / "one"
    found = read_overview(folder)
    assert found == make_overview(series, nodule)[0]
    assert found.place.startswith("left side, image ") and found.place.endswith(" of 40")
    assert "slices 2.5 mm apart" in found.series
    with Image.open(folder / "overview.png") as picture:
        assert picture.size == (320, 293)
    for content in ("{", "[]", json.dumps({"mark": "x"})):
        (folder / "overview.json").write_text(content)
        with pytest.raises(InputError, match="damaged; run ctxai explain"):
            read_overview(folder)
