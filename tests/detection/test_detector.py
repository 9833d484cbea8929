import dataclasses

import numpy as np
import pytest
import torch
from detection_bundles import write_bundle
from scipy import ndimage

from ctxai.ct.series import read_series
from ctxai.ct.volume import CTVolume
from ctxai.detection import detector
from ctxai.detection.bundle import read_settings
from ctxai.detection.detector import load_detector, propose
from ctxai.errors import InputError, ModelError

from synthetic_ct import AXIAL, CORONAL, FEET_FIRST, ct_grid, rotated, write_ct

NODULES_LPS = np.array([[4.0, -6.0, 5.0], [-9.0, 8.0, -7.0]])
RADIUS_MM = 5.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("detectors") / "bundle", score_thresh=0.0, detections=5)


def spheres(grid):
    """Two soft-tissue spheres in lung."""
    slices, rows, columns = np.indices(grid.shape)
    lps = grid.to_lps(np.stack([columns, rows, slices], axis=-1))
    distance = np.linalg.norm(lps[..., None, :] - NODULES_LPS, axis=-1).min(axis=-1)
    return np.where(distance < RADIUS_MM, 40, -850).astype(np.int16)


def boxes_about_what_is_bright(image):
    """A detector without a network: boxes about the centre of mass of each bright blob, in the image's voxels."""
    bright = image[0].numpy() - image[0].numpy().min()
    labels, count = ndimage.label(bright > 0.05)
    centres = np.array(ndimage.center_of_mass(bright, labels, range(1, count + 1)))
    half = RADIUS_MM / np.array([0.703125, 0.703125, 1.25])
    return torch.from_numpy(np.hstack([centres - half, centres + half])), torch.linspace(0.5, 0.9, count)


@pytest.mark.parametrize(
    "orientation", [AXIAL, FEET_FIRST, CORONAL, rotated(25)], ids=["axial", "feet", "coronal", "oblique"]
)
def test_boxes_of_planted_nodules_are_at_their_place_within_half_a_voxel(bundle, tmp_path, orientation):
    grid = ct_grid((40, 64, 56), (0.8, 0.8, 1.5), orientation=orientation)
    grid = ct_grid(grid.shape, (0.8, 0.8, 1.5), -grid.centre + grid.affine[:3, 3], orientation)  # its middle at 0, 0, 0
    write_ct(tmp_path / "ct", spheres(grid), grid)
    settings = read_settings(bundle)
    found = propose(read_series(tmp_path / "ct"), settings, boxes_about_what_is_bright)
    assert [round(each.score, 2) for each in found] == [0.9, 0.5]
    for nodule in NODULES_LPS:
        nearest = min(found, key=lambda each: np.linalg.norm(each.centre_lps - nodule))
        off = nearest.centre_lps - nodule
        assert np.linalg.norm(off) < 0.5 * min(settings.spacing_mm), off
        assert nearest.diameter_mm == pytest.approx(2 * RADIUS_MM, abs=1e-3)


def test_the_image_that_the_network_gets_is_scaled_and_spaced_as_the_bundle_says(bundle, tmp_path):
    grid = ct_grid((16, 40, 48), (1.40625, 0.703125, 2.5))
    hu = np.full(grid.shape, -362, np.int16)
    hu[:, :20] = 3000
    write_ct(tmp_path / "ct", hu, grid)
    seen = []

    def look(image):
        seen.append(image)
        return torch.zeros(0, 6), torch.zeros(0)

    assert propose(read_series(tmp_path / "ct"), read_settings(bundle), look) == []
    (image,) = seen
    np.testing.assert_allclose(image.shape, [1, 95, 40, 31], atol=1)
    assert image[0, :, :18].numpy() == pytest.approx(0.5, abs=1e-3)  # -362 HU is the middle; rows run to posterior
    assert image[0, :, 22:].numpy() == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(20, 48, 48), (24, 80, 72)], ids=["whole", "by sliding window"])
def test_a_published_network_proposes_boxes_inside_the_ct(bundle, tmp_path, shape):
    grid = ct_grid(shape, (0.703125, 0.703125, 1.25))
    write_ct(tmp_path / "ct", spheres(grid), grid)
    settings, find_boxes = load_detector(bundle, torch.device("cpu"))
    found = propose(read_series(tmp_path / "ct"), settings, find_boxes)
    assert len(found) == 5
    assert all(grid.contains(each.centre_lps) and 0 < each.score < 1 and each.diameter_mm > 0 for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_a_ct_that_the_detectors_voxels_do_not_fit_is_one_line(bundle, monkeypatch):
    settings = read_settings(bundle)
    thick = CTVolume(np.full((4, 8, 8), -900), (0.8, 0.8, 10.0))
    with pytest.raises(InputError, match=r"voxels are 10 mm apart.* expects 0\.703125 x 0\.703125 x 1\.25 mm"):
        propose(thick, settings, boxes_about_what_is_bright)
    fine = dataclasses.replace(settings, spacing_mm=(0.1, 0.1, 0.1))
    wide = CTVolume(np.full((8, 512, 512), -900), (0.4, 0.4, 0.4))
    monkeypatch.setattr(detector, "_MOST_VOXELS", 1e8)
    with pytest.raises(InputError, match=r"would be 1\.3e\+08 voxels at the detector's 0\.1 x 0\.1 x 0\.1 mm"):
        propose(wide, fine, boxes_about_what_is_bright)


def test_weights_that_are_code_or_of_another_network_are_refused(tmp_path):
    folder = write_bundle(tmp_path / "bundle", backbone="resnet10")
    path = folder / "models" / "model.pt"
    torch.save({"some": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="do not fit the bundle's network"):
        load_detector(folder, torch.device("cpu"))
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(ModelError, match="nothing is unpickled"):
        load_detector(folder, torch.device("cpu"))
