import numpy as np
import pytest
import torch

from ctxai.ct.grid import Grid
from ctxai.errors import RunError
from ctxai.run.explanation import slice_offsets

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
    maps = [nodule.maps["cdam", "malignancy"].values.ravel() for nodule in (reference, other)]
    assert np.corrcoef(maps)[0, 1] > 0.999
    if change == "permuted files":
        np.testing.assert_array_equal(*maps)


def test_explained_slices_pass_through_the_nodule():
    assert slice_offsets(6.0, 32) == [-3, -2, -1, 0, 1, 2, 3]
    assert slice_offsets(2.0, 32) == [-2, -1, 0, 1, 2]
    assert len(slice_offsets(80.0, 32)) == 31
    assert slice_offsets(None, 32) == slice_offsets(12.0, 32)


@pytest.mark.parametrize("method", ["cdam", "smooth_cdam", "agcam", "integrated_gradients"])
def test_a_map_is_the_same_to_the_last_bit_whatever_else_is_explained(method):
    run = untrained_run()
    patch = sphere_hu(Grid.cube(SPHERE, (64, 64, 64), 1.0))
    alone = run.explain(patch, [method], ["malignancy"], diameter_mm=8.0)
    among = run.explain(patch, [method], ["spiculation", "malignancy", "margin-texture"], diameter_mm=8.0)
    assert alone.maps[method, "malignancy"].tobytes() == among.maps[method, "malignancy"].tobytes()


def test_a_run_whose_outputs_are_no_numbers_is_refused():
    run = untrained_run()
    with torch.no_grad():
        next(run.model.parameters()).fill_(float("nan"))
    with pytest.raises(RunError, match="NaN or infinite"):
        run.predict(sphere_hu(Grid.cube(SPHERE, (64, 64, 64), 1.0)))
