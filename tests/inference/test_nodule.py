import numpy as np
import pytest
import torch

from ctxai.ct.grid import Grid
from ctxai.ct.series import read_series
from ctxai.data.settings import VIEWS, ViewConfig
from ctxai.data.views import turn
from ctxai.errors import RunError
from ctxai.explain import get_method, list_methods
from ctxai.inference.method_spec import parse_method_spec
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.options import make_options
from ctxai.inference.results import explain_series
from ctxai.models.heads import HeadsConfig
from ctxai.run.explanation import seen_nodule
from ctxai.run.methods import make_method

from runs import untrained_run
from sphere import SPHERE, centred_grid, nodule_at, sphere_hu
from synthetic_ct import FEET_FIRST, rotated, write_ct


@pytest.mark.parametrize("change", ["permuted files", "feet first", "oblique", "coronal slabs"])
def test_the_same_anatomy_in_another_scan_geometry_gives_the_same_answer(sphere_ct, tmp_path, change):
    """Measured: maps correlate at .9997 and more; logits move by up to 1.8 % of what losing the nodule changes."""
    grids = {
        "permuted files": centred_grid((40, 96, 100), (0.8, 0.9, 2.0)),
        "feet first": centred_grid((40, 96, 100), (0.8, 0.9, 2.0), orientation=FEET_FIRST),
        "oblique": centred_grid((60, 110, 110), (0.8, 0.8, 1.5), orientation=rotated(20)),
        "coronal slabs": centred_grid((50, 90, 96), (0.9, 0.9, 1.6), orientation=((1.0, 0, 0), (0, 0, -1.0))),
    }
    hu = sphere_hu(grids[change])
    order = np.random.default_rng(3).permutation(len(hu)) if change == "permuted files" else None
    write_ct(tmp_path, hu, grids[change], file_order=order)
    run = untrained_run()
    reference, other = (nodule_at(folder, SPHERE, run) for folder in (sphere_ct, tmp_path))
    if change in ("permuted files", "feet first"):  # the same voxels, or as good as
        np.testing.assert_allclose(other.patch.hu, reference.patch.hu, atol=70)
    empty = nodule_at(sphere_ct, SPHERE + np.array([0, 0, -22.0]), run).prediction["malignancy_logit"]
    span = abs(reference.prediction["malignancy_logit"] - empty)
    moved = abs(other.prediction["malignancy_logit"] - reference.prediction["malignancy_logit"])
    assert moved < 0.05 * span
    for view in VIEWS:
        run = untrained_run(views=ViewConfig(views=(view,), pixels=16))
        found = [nodule_at(folder, SPHERE, run).maps["cdam", "malignancy"] for folder in (sphere_ct, tmp_path)]
        both = found[0].covered & found[1].covered
        maps = [one.values[both] for one in found]
        assert np.corrcoef(maps)[0, 1] > 0.999
        if change == "permuted files":
            np.testing.assert_array_equal(*maps)


def test_the_prediction_is_the_mean_output_of_the_very_images_that_are_explained():
    run = untrained_run(views=ViewConfig(pixels=16, slice_offsets_mm=(3.0, -2.0), turns=8))
    found = run.explain(sphere_hu(Grid.cube(SPHERE, (64, 64, 64), 1.0)))
    with torch.no_grad():
        outputs = [run.model(turn(found.images, number))[:, 0] for number in range(8)]
    assert found.prediction["malignancy_logit"] == pytest.approx(float(torch.stack(outputs).mean()), abs=1e-5)
    assert found.image_maps["cdam", "malignancy"].shape == (6, 2, 2)


@pytest.mark.parametrize(("distance", "slices"), [(5.0, [-2.5, 2.5]), (4.0, [0.0])])
def test_the_map_lies_on_the_slices_of_the_ct_that_the_prediction_reads(tmp_path, distance, slices):
    grid = Grid((9, 96, 96), np.diag([0.8, 0.8, distance, 1.0]))
    affine = grid.affine.copy()
    affine[:3, 3] = SPHERE - grid.centre + np.array([0, 0, slices[-1]])
    grid = Grid(grid.shape, affine)
    write_ct(tmp_path, sphere_hu(grid), grid)
    run = untrained_run(views=ViewConfig(views=("axial",), pixels=16))
    found = explain_series(
        read_series(tmp_path), [NoduleCandidate("sphere", SPHERE)], make_options(run, ["cdam"], ["malignancy"])
    )
    volume = np.abs(found.maps["cdam", "malignancy"]).max(axis=(1, 2))
    z = np.array([grid.to_lps(np.array([0, 0, k]))[2] for k in np.flatnonzero(volume)]) - SPHERE[2]
    np.testing.assert_allclose(z, slices, atol=1e-9)
    np.testing.assert_allclose(
        volume[volume > 0], np.abs(found.nodules[0].maps["cdam", "malignancy"].values).max(), rtol=1e-5
    )


def test_a_patch_is_explained_about_the_middle_of_the_outline_that_the_run_sees(monkeypatch):
    run = untrained_run(views=ViewConfig(views=("axial",), pixels=16, recentre_mm=8.0), heads=HeadsConfig(outline=1.0))
    monkeypatch.setattr(run, "recentre", lambda hu: torch.tensor([[0.0, 4.0, -6.0]]).expand(len(hu), 3))
    hu = sphere_hu(Grid.cube(SPHERE, (64, 64, 64), 1.0))
    beside = run.explain(np.roll(hu, (4, -6), axis=(1, 2)))
    monkeypatch.setattr(run, "recentre", lambda hu: torch.zeros(len(hu), 3))
    about = run.explain(hu)
    assert beside.prediction["malignancy_logit"] == pytest.approx(about.prediction["malignancy_logit"], abs=1e-4)
    moved = np.roll(beside.maps["cdam", "malignancy"], (-4, 6), axis=(1, 2))
    np.testing.assert_allclose(moved, about.maps["cdam", "malignancy"], atol=1e-4)


SLOW = {"kernel_shap", "lime", "integrated_gradients", "smooth_grad", "region_cdam", "path_cdam", "occlusion"}
QUICK = [name for name in list_methods() if "training" not in get_method(name).needs and name not in SLOW]


@pytest.mark.parametrize("method", [*QUICK, "integrated_gradients:steps=4"])
def test_a_map_is_the_same_to_the_last_bit_whatever_else_is_explained(method):
    """So that its file and its UIDs are the same, and it never stands twice in an archive."""
    run, name = untrained_run(), method.partition(":")[0]
    method = make_method(run, *parse_method_spec(method))
    patch = sphere_hu(Grid.cube(SPHERE, (64, 64, 64), 1.0))
    others = ["spiculation", "malignancy", "margin"]
    alone = run.explain(patch, [method], ["malignancy"])
    among = run.explain(patch, ["cdam" if name != "cdam" else "agcam", method], others)
    assert alone.maps[name, "malignancy"].tobytes() == among.maps[name, "malignancy"].tobytes()


def test_a_run_whose_outputs_are_no_numbers_is_refused():
    run = untrained_run()
    with torch.no_grad():
        next(run.model.parameters()).fill_(float("nan"))
    with pytest.raises(RunError, match="NaN or infinite"):
        run.predict(sphere_hu(Grid.cube(SPHERE, (64, 64, 64), 1.0)))


class SeesASquare:
    """Outlines as a run would see them: the quarter of the image that is anterior and right."""

    def __call__(self, patches, centres_mm=None):
        shares = torch.zeros(len(patches), 1, 8, 8)
        shares[..., :4, :4] = 0.9
        return shares


def test_the_evidence_of_a_point_is_judged_by_the_outline_that_the_run_sees(sphere_ct, monkeypatch):
    views = ViewConfig(views=("axial",), pixels=16, field_of_view_mm=32.0)
    run = untrained_run(views=views, heads=HeadsConfig(outline=1.0))
    monkeypatch.setattr(run, "outlines", SeesASquare())
    nodule = nodule_at(sphere_ct, SPHERE, run)
    assert nodule.inside is None and nodule.seen.shape == nodule.patch.hu.shape
    covered = nodule.maps["cdam", "malignancy"].covered
    assert (
        nodule.nodule_share("cdam", "malignancy") == pytest.approx(0.25, abs=2e-3) and not nodule.seen[~covered].any()
    )
    values = np.maximum(nodule.maps["cdam", "malignancy"].values, 0)
    middle = len(values) // 2
    share = values[:, :middle, :middle].sum() / values.sum()
    assert nodule.share_inside("cdam", "malignancy") == pytest.approx(share, abs=0.01)
    assert abs(share - 0.25) > 0.03  # so that another quarter would be another share
    assert np.isnan(nodule_at(sphere_ct, SPHERE, untrained_run(views=views)).share_inside("cdam", "malignancy"))


def test_a_run_of_several_views_and_slices_sees_a_nodule_in_all_of_them():
    views = ViewConfig(pixels=16, slice_offsets_mm=(-2.0, 2.0))
    run = untrained_run(views=views, heads=HeadsConfig(outline=1.0))
    hu = sphere_hu(Grid.cube(SPHERE, (64, 64, 64), 1.0))
    seen, covered = seen_nodule(run, hu), run.explain(hu).fused["cdam", "malignancy"].covered
    assert seen.any() and not seen[~covered].any()
    assert seen_nodule(untrained_run(), hu) is None
