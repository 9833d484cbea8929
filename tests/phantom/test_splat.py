import numpy as np
import pytest

from ctxai.phantom.splat import Cloud, share_of_voxels, tubes

Z = np.arange(0.0, 40.0, 2.0)


def straight(radius: float, start: float = 10.0, length: float = 20.0) -> Cloud:
    """A tube along z at x = y = 25 mm."""
    step = 0.5
    z = np.arange(start + 0.5 * step, start + length, step)
    centre = np.column_stack([np.full_like(z, 25.0), np.full_like(z, 25.0), z])
    tangent = np.tile([0.0, 0.0, 3.0], (len(z), 1))
    return tubes(centre, tangent, np.full(len(z), radius), np.full(len(z), step))


@pytest.mark.parametrize("radius", [0.3, 1.0, 4.0])
def test_a_tube_s_points_have_its_volume(radius):
    assert straight(radius).volume.sum() == pytest.approx(np.pi * radius**2 * 20)


def test_points_stay_inside_the_tube():
    cloud = straight(4.0)
    assert np.hypot(*(cloud.points[:, :2] - 25).T).max() < 4.0


def test_a_thin_tube_fills_its_volume_of_voxels():
    cloud = straight(0.4)
    share = share_of_voxels(cloud, (20, 64, 64), 0.8, Z, 2.0)
    assert share.sum() * 0.8**2 * 2.0 == pytest.approx(1.08 * cloud.volume.sum(), rel=0.02)


def test_a_thick_tube_fills_voxels_wholly_and_none_twice():
    share = share_of_voxels(straight(5.0), (20, 64, 64), 0.8, Z, 2.0)
    assert share.max() <= 1
    assert share[10, 31, 31] > 0.98
    assert share[10, 31, 5] == 0


def test_thick_slices_that_overlap_share_a_point():
    share = share_of_voxels(Cloud(np.array([[20.0, 20.0, 20.0]]), np.array([0.1])), (20, 64, 64), 0.8, Z, 4.0)
    filled = share.sum(axis=(1, 2))
    assert (filled[9:12] > 0).all()
    assert filled[10] > filled[9] == pytest.approx(filled[11])


def test_what_lies_outside_the_slices_or_the_image_is_left_out():
    cloud = Cloud(np.array([[20.0, 20.0, 90.0], [500.0, 20.0, 20.0], [-3.0, 20.0, 20.0]]), np.ones(3))
    assert not share_of_voxels(cloud, (20, 64, 64), 0.8, Z, 2.0).any()
