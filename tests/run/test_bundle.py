import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from ctxai.ct.grid import Grid
from ctxai.ct.patch import resample
from ctxai.errors import GeometryError, InputError
from ctxai.run.bundle import PATCH_SHAPE, NodulePatchd, nodules

CENTRE = np.array([20.0, -35.5, 61.3])


def scanned(spacing, turn=0.0):
    """A random smooth CT on a grid about the centre, turned about the patient's long axis, and how MONAI has it."""
    cosine, sine = np.cos(turn), np.sin(turn)
    axes = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) * spacing
    shape = tuple(int(100 / s) for s in spacing[::-1])
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = CENTRE - axes @ ((np.array(shape[::-1]) - 1) / 2) + [0.3, -0.2, 0.1]
    grid = Grid(shape, affine)
    slices, rows, columns = np.indices(shape)
    lps = grid.to_lps(np.stack([columns, rows, slices], axis=-1))
    hu = (400 * np.sin(lps / [3, 5, 7]).sum(-1) - 300).astype(np.float32)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    return hu, grid, MetaTensor(torch.from_numpy(hu.transpose(2, 1, 0).copy())[None], affine=torch.from_numpy(ras))


@pytest.mark.parametrize(("spacing", "turn"), [((0.7, 0.7, 1.25), 0.0), ((0.8, 0.9, 2.5), 0.3)])
def test_the_patch_is_the_one_that_the_project_cuts_from_its_own_grids(spacing, turn):
    hu, grid, ct = scanned(np.array(spacing), turn)
    cut = NodulePatchd()({"image": ct, "centre_lps": CENTRE})["image"]
    expected = np.rint(resample(hu, grid, Grid.cube(CENTRE, PATCH_SHAPE, 1.0), outside=-1024))
    assert cut.shape == (1, *PATCH_SHAPE)
    difference = np.abs(cut[0].numpy() - expected)
    assert difference.max() <= 1  # a half may be rounded either way
    assert (difference > 0).mean() < 1e-3
    # MONAI's affine of the patch is that of an array (superior, posterior, left)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ cut.affine.numpy() @ [31.5, 31.5, 31.5, 1]
    np.testing.assert_allclose(lps[:3], CENTRE)


def test_voxels_that_are_a_patch_in_any_order_of_axes_stay_as_they_are():
    hu = torch.from_numpy(np.random.default_rng(0).integers(-1024, 3000, PATCH_SHAPE)).float()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ Grid.cube(CENTRE, PATCH_SHAPE, 1.0).affine  # (left, posterior, superior)
    ct = MetaTensor(hu.permute(2, 1, 0)[None], affine=torch.from_numpy(affine))
    for axes in ("SPL", "RAS", "ILA"):
        turned = Orientation(axes, labels=None)(ct)
        assert turned.affine.shape == (4, 4)
        patch = NodulePatchd()({"image": turned, "centre_lps": CENTRE})["image"]
        np.testing.assert_array_equal(patch[0].numpy(), hu.numpy())


def test_beyond_the_ct_is_air_and_without_a_point_the_patch_lies_about_the_images_centre():
    _, grid, ct = scanned(np.array([2.0, 2.0, 2.0]))
    small = ct[:, :16]
    cut = NodulePatchd()({"image": small})
    np.testing.assert_allclose(cut["centre_lps"], grid.to_lps(np.array([7.5, 24.5, 24.5])))
    assert (cut["image"][0, :, :, :15] == -1024).all()
    assert (cut["image"][0, :, :, 20:44] > -1024).any()


def test_a_point_outside_and_an_image_of_several_volumes_are_refused():
    _, _, ct = scanned(np.array([2.0, 2.0, 2.0]))
    with pytest.raises(GeometryError, match="outside of the CT"):
        NodulePatchd()({"image": ct, "centre_lps": CENTRE + np.array([0, 0, 80])})
    with pytest.raises(InputError, match="one CT volume"):
        NodulePatchd()({"image": torch.cat([ct, ct])})


def test_points_become_one_entry_each(tmp_path):
    assert nodules("ct.nii.gz") == [{"image": "ct.nii.gz", "nodule_id": "centre"}]
    (tmp_path / "points.csv").write_text("x,y,z,nodule_id\n1,2,3,a\n4,5,6,b\n")
    found = nodules("ct.nii.gz", tmp_path / "points.csv")
    assert [(entry["nodule_id"], entry["centre_lps"].tolist()) for entry in found] == [
        ("a", [1, 2, 3]),
        ("b", [4, 5, 6]),
    ]
