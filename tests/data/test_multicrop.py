import numpy as np
import pytest
import torch

from ctxai.data.multicrop import MultiCropDataModule, multi_crop
from ctxai.data.settings import VIEWS, MultiCropConfig, ViewConfig
from ctxai.errors import InputError

AXIAL = ViewConfig(views=("axial",), pixels=32, mean=0.0, std=1.0)
STILL = MultiCropConfig(
    global_shift_mm=0,
    local_shift_mm=0,
    turns=False,
    rotation_deg=0,
    tilt_deg=0,
    offset_mm=0,
    window_shift_hu=(0, 0),
    noise_hu=0,
    blur_mm=0,
)


def change(**options):
    return MultiCropConfig(**(vars(STILL) | options))


def sphere(diameter_mm=10.0, centre=(0.0, 0.0, 0.0), depth=64, hu=100):
    axes = [np.arange(n) - (n - 1) / 2 - c for n, c in zip((depth, 64, 64), centre, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return torch.from_numpy(np.where(z**2 + y**2 + x**2 <= diameter_mm**2 / 4, hu, -900).astype(np.int16))[None]


def crops(hu, config=STILL, views=AXIAL, seed=0):
    return multi_crop(hu, views, config, np.random.default_rng(seed))


def area_mm2(images, views=AXIAL):
    return (images[:, 0] > -400).sum((1, 2)) * (views.field_of_view_mm / views.pixels) ** 2


def test_a_batch_has_two_global_and_several_local_crops_of_every_patch():
    whole, local = crops(torch.cat([sphere(), sphere(20), sphere(8)]), change(local_crops=3))
    assert whole.shape == (2 * 3, 3, 32, 32)
    assert local.shape == (3 * 3, 3, 16, 16)


def test_crop_c_of_patch_n_is_number_c_times_n():
    whole, local = crops(torch.cat([sphere(8), sphere(14)]))
    for images in (whole, local):
        areas = area_mm2(images)
        assert (areas[0::2] == areas[0]).all() and (areas[1::2] == areas[1]).all()
        assert areas[1] > 2 * areas[0]


def test_without_changes_a_local_crop_is_the_middle_of_a_global_one():
    whole, local = crops(sphere())
    torch.testing.assert_close(local[0], whole[0, :, 8:24, 8:24])


def test_no_crop_changes_the_size_of_a_nodule():
    config = change(
        global_shift_mm=3, local_shift_mm=2, turns=True, rotation_deg=45, tilt_deg=10, local_field_of_view_mm=20
    )
    for images in crops(sphere(10).expand(8, -1, -1, -1), config, ViewConfig(pixels=64, mean=0, std=1)):
        areas = area_mm2(images, ViewConfig(pixels=64))
        assert areas.numpy() == pytest.approx(np.pi * 25, rel=0.08)


@pytest.mark.parametrize("option", ["global_shift_mm", "offset_mm", "rotation_deg", "tilt_deg", "noise_hu", "blur_mm"])
def test_every_number_makes_the_two_global_crops_differ(option):
    whole, _ = crops(sphere(12, centre=(2.0, 3.0, -4.0)), change(**{option: 5.0}))
    assert not torch.allclose(whole[0], whole[1])


def test_turns_and_mirror_images_keep_the_pixels():
    whole, _ = crops(sphere(12, centre=(0, 3, -4)).expand(16, -1, -1, -1), change(turns=True))
    images = whole[:, 0]
    shapes = [torch.rot90(image, k) for image in (images[0], images[0].flip(1)) for k in range(4)]
    kinds = {next(i for i, shape in enumerate(shapes) if torch.allclose(image, shape, atol=0.1)) for image in images}
    assert len(kinds) == 8


def test_shifts_stay_within_their_limit():
    whole, _ = crops(sphere(6).expand(32, -1, -1, -1), change(global_shift_mm=4.0))
    along = torch.arange(32) + 0.5 - 16
    for axis in (1, 2):
        weights = (whole[:, 0] > -400).float()
        centres = (weights.sum(3 - axis) * along).sum(1) / weights.sum((1, 2))
        assert 3 < centres.abs().max() <= 4.5


def test_the_window_moves_as_hounsfield_units_do():
    low, high = AXIAL.hu_window
    plain, _ = crops(torch.full((64, 1, 64, 64), -300, dtype=torch.int16))
    moved, _ = crops(torch.full((64, 1, 64, 64), -300, dtype=torch.int16), change(window_shift_hu=(50.0, 150.0)))
    assert (plain == -300).all()
    values = moved[:, 0, 16, 16]
    widest = [low + (-300 - a) * (high - low) / (b - a) for a in (low - 50, low + 50) for b in (high - 150, high + 150)]
    assert min(widest) <= values.min() < -330 and -270 < values.max() <= max(widest)
    assert (moved.std((1, 2, 3)) < 1e-3).all()


def test_noise_has_at_most_the_given_deviation():
    flat = torch.full((200, 1, 64, 64), -300, dtype=torch.int16)
    deviations = crops(flat, change(noise_hu=60.0))[0][:, 0].std((1, 2))
    assert 55 < deviations.max() < 63 and deviations.min() < 5


def test_blur_keeps_the_mean_and_softens_edges():
    plain, blurred = crops(sphere())[0], crops(sphere(), change(blur_mm=2.0))[0]
    torch.testing.assert_close(blurred.mean(), plain.mean(), rtol=1e-3, atol=0.5)
    steepest = [images[:, 0].diff(dim=1).abs().amax((1, 2)) for images in (plain, blurred)]
    assert (steepest[1] < 0.9 * steepest[0]).all()


def test_single_slices_are_neither_tilted_nor_left():
    whole, _ = crops(sphere(depth=1), change(tilt_deg=60.0, offset_mm=10.0))
    torch.testing.assert_close(whole, crops(sphere(depth=1))[0])


def test_all_views_of_a_volume_are_drawn():
    long = sphere(60)
    long[:, 20:] = -900  # only the feet's end is left, so that coronal and sagittal images differ from axial ones
    whole, _ = crops(long.expand(32, -1, -1, -1), views=ViewConfig(views=VIEWS, pixels=32, mean=0, std=1))
    assert len({round(float(area)) for area in area_mm2(whole)}) > 1


@pytest.mark.parametrize("side_mm", [40.0, 0.0, 16.3])
def test_local_crops_that_do_not_fit_are_refused(side_mm):
    with pytest.raises(InputError, match="local_field_of_view_mm: expected at most 32 mm"):
        change(local_field_of_view_mm=side_mm).local_views(AXIAL)


def module(patches, seed=0, workers=0):
    return MultiCropDataModule(patches, AXIAL, MultiCropConfig(), batch_size=2, seed=seed, workers=workers)


def test_batches_depend_on_the_seed_and_not_on_the_workers():
    patches = torch.cat([sphere(6 + row, depth=1) for row in range(5)])
    first, again, parallel, other = (
        list(module(patches, seed, workers).train_dataloader()) for seed, workers in ((0, 0), (0, 0), (0, 2), (1, 0))
    )
    assert len(first) == 2
    for a, b, c, d in zip(first, again, parallel, other, strict=True):
        for part in range(2):
            assert torch.equal(a[part], b[part]) and torch.equal(a[part], c[part])
            assert not torch.equal(a[part], d[part])


def test_fewer_patches_than_a_batch_are_refused():
    with pytest.raises(InputError, match=r"1 patches for batches of 2; lower optim\.batch_size"):
        module(sphere(depth=1))


class Numbers:
    """Patches that note which of them were asked for."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 16

    def __getitem__(self, numbers):
        self.asked += numbers.tolist()
        return torch.zeros(len(numbers), 64, 64, 64)


def test_processes_share_the_patches_of_a_batch_out(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    asked = []
    for process in range(2):
        monkeypatch.setattr("torch.distributed.get_rank", lambda process=process: process)
        patches = Numbers()
        data = MultiCropDataModule(patches, AXIAL, STILL, batch_size=8)
        assert [len(whole) for whole, _ in data.train_dataloader()] == [2 * 4, 2 * 4]
        asked.append(patches.asked)
    assert len(asked[0]) == len(asked[1]) == 8
    assert set(asked[0]) | set(asked[1]) == set(range(16))
    with pytest.raises(InputError, match=r"optim\.batch_size: expected a multiple of 2 processes, found 7"):
        MultiCropDataModule(Numbers(), AXIAL, STILL, batch_size=7)
