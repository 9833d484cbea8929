import pytest
import torch

from ctxai.data.settings import VolumeConfig
from ctxai.data.volume import change_volume


@pytest.fixture
def cube():
    """A cube of 20 mm at 50 HU in lung at -850 HU."""
    hu = torch.full((48, 48, 48), -850, dtype=torch.int16)
    hu[14:34, 14:34, 14:34] = 50
    return hu


ALWAYS = {"probability": 1.0}


def test_without_limits_the_patch_stays_as_it_is(cube):
    assert not VolumeConfig().active
    assert torch.equal(change_volume(cube, VolumeConfig(probability=1.0), (0, 0, 0)), cube.float())


def test_the_key_decides_every_random_number(cube):
    config = VolumeConfig(**ALWAYS, rotation_deg=20, shear=0.1, scale=0.1, shift_mm=3, blur_mm=1, noise_hu=20)
    first = change_volume(cube, config, (0, 1, 7))
    assert type(first) is torch.Tensor and first.dtype == torch.float32
    assert torch.equal(first, change_volume(cube, config, (0, 1, 7)))
    assert not torch.equal(first, change_volume(cube, config, (0, 2, 7)))


def test_what_comes_in_from_outside_is_air(cube):
    changed = change_volume(cube, VolumeConfig(**ALWAYS, shift_mm=20), (0, 0, 1))
    corners = torch.stack([changed[z, y, x] for z in (0, -1) for y in (0, -1) for x in (0, -1)])
    assert float(corners.min()) == -1000.0
    assert float(changed.max()) <= 50.0


def test_shifts_stay_within_their_limit(cube):
    config = VolumeConfig(**ALWAYS, shift_mm=4)
    places = []
    for seed in range(20):
        inside = torch.nonzero(change_volume(cube, config, (seed,)) > -400).float()
        places.append((inside.mean(0) - 23.5).abs().max())
    assert 2 < max(places) <= 4.1


def test_blur_softens_edges_and_keeps_the_mean(cube):
    blurred = change_volume(cube, VolumeConfig(**ALWAYS, blur_mm=2), (0,))
    inner = (slice(8, -8),) * 3  # the outermost voxels are blurred with the air outside
    assert float(blurred[inner].mean()) == pytest.approx(float(cube[inner].float().mean()), abs=5)
    steepest = (blurred[1:] - blurred[:-1]).abs().max()
    assert float(steepest) < 0.8 * 900


def test_noise_has_no_more_than_its_standard_deviation(cube):
    noise = torch.stack([change_volume(cube, VolumeConfig(**ALWAYS, noise_hu=40), (seed,)) - cube for seed in range(5)])
    assert 1 < float(noise.std(dim=(1, 2, 3)).max()) < 41


def test_changes_come_with_their_probability(cube):
    changed = [
        not torch.equal(change_volume(cube, VolumeConfig(probability=0.5, noise_hu=40), (seed,)), cube.float())
        for seed in range(40)
    ]
    assert 8 < sum(changed) < 32
