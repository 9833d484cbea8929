import math

import numpy as np
import pytest
import torch

from ctxai.data.augment import jitter_intensity, random_plane
from ctxai.data.settings import VIEWS, AugmentConfig, ViewConfig
from ctxai.data.views import view_planes

STILL = AugmentConfig(False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def draw(view="axial", diameter=10.0, seeds=50, single_slice=False, **options):
    config = AugmentConfig(**({"turns": False} | dict.fromkeys(FIELDS, 0.0) | options))
    generators = [np.random.default_rng(seed) for seed in range(seeds)]
    return torch.stack([random_plane(g, view, diameter, config, single_slice) for g in generators])


FIELDS = [name for name, field in AugmentConfig.__dataclass_fields__.items() if field.type == "float"]


@pytest.mark.parametrize("view", VIEWS)
def test_without_changes_the_plane_is_the_views_own_centre_slice(view):
    plane = random_plane(np.random.default_rng(3), view, 10.0, STILL)
    torch.testing.assert_close(plane, view_planes(view, (0.0,))[0])


def test_turns_reach_all_eight_symmetries_of_the_square_and_stay_in_the_plane():
    planes = draw(turns=True, seeds=100)
    torch.testing.assert_close(planes[:, 0], torch.zeros(100, 3), atol=1e-6, rtol=0)  # nothing moves along superior
    found = {tuple(np.rint(plane[:, :2].flatten().numpy()).astype(int) + 0) for plane in planes}
    assert len(found) == 8


def test_turns_without_mirror_images_are_four():
    planes = draw(turns=True, mirror=False, seeds=100)
    assert len({tuple(np.rint(plane[:, :2].flatten().numpy()).astype(int) + 0) for plane in planes}) == 4
    normals = torch.linalg.cross(planes[:, :, 0], planes[:, :, 1])[:, 0]
    assert len(set(normals.round().tolist())) == 1


def test_slice_steps_are_whole_millimetres_about_the_centre_whatever_the_diameter():
    offsets = draw(slice_steps=2, slice_fraction=0.5, diameter=40.0, seeds=200)[:, 0, 2].tolist()
    assert set(offsets) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert min(offsets.count(step) for step in set(offsets)) > 20


@pytest.mark.parametrize("view", VIEWS)
def test_rotation_and_tilt_keep_lengths_and_right_angles(view):
    axes = draw(view, turns=True, rotation_deg=20.0, tilt_deg=15.0)[:, :, :2]
    torch.testing.assert_close(axes.mT @ axes, torch.eye(2).expand(50, 2, 2))


def test_tilts_stay_within_their_limit():
    axes = draw(tilt_deg=10.0)
    limit = math.sin(math.radians(10.0)) * math.sqrt(2)
    assert 0.05 < float(axes[:, 0, :2].abs().max()) <= limit


def test_slices_stay_inside_the_nodule_and_unknown_diameters_use_the_centre():
    offsets = draw(slice_fraction=0.5, diameter=20.0)[:, 0, 2]
    assert 3.0 < float(offsets.abs().max()) <= 5.0
    assert float(draw(slice_fraction=0.5, diameter=float("nan"))[:, :, 2].abs().max()) == 0


def test_single_slices_are_neither_tilted_nor_left():
    planes = draw(tilt_deg=30.0, slice_fraction=1.0, rotation_deg=10.0, single_slice=True)
    torch.testing.assert_close(planes[:, 0], torch.zeros(50, 3))


def test_scale_stays_within_its_limit():
    lengths = draw(scale=0.1)[:, :, 0].norm(dim=1)
    assert 1 / 1.1 - 1e-6 <= float(lengths.min()) < 0.95 and 1.05 < float(lengths.max()) <= 1.1 + 1e-6


def test_intensities_stay_in_the_window_and_do_not_change_without_options():
    views = ViewConfig()
    image = torch.linspace(-1000, 400, 64).reshape(8, 8)
    generator = np.random.default_rng(0)
    torch.testing.assert_close(jitter_intensity(generator, image, STILL, views), image, atol=1e-3, rtol=0)
    changed = jitter_intensity(generator, image, AugmentConfig(noise_hu=200.0, level_hu=100.0), views)
    assert float(changed.min()) >= -1000 and float(changed.max()) <= 400
    assert not torch.equal(changed, image)
