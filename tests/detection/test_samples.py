import numpy as np
import pytest
import torch

from ctxai.ct.volume import CTVolume
from ctxai.detection.samples import PatchDataModule, Sample, make_sample, random_patch
from ctxai.detection.training import small_settings

SHAPE = (24, 20, 16)


@pytest.fixture(scope="module")
def sample():
    """Air with two bright cubes of 5 and 3 voxels."""
    image = torch.zeros(1, 48, 40, 32)
    image[0, 8:13, 10:15, 12:17] = 1.0
    image[0, 30:33, 30:33, 20:23] = 1.0
    return Sample(image.half(), torch.tensor([[8.0, 10, 12, 12, 14, 16], [30, 30, 20, 32, 32, 22]]))


def test_boxes_stay_on_their_nodules_in_every_patch_however_it_is_mirrored(sample):
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        patch, target = random_patch(sample, SHAPE, rng)
        assert patch.shape == (1, *SHAPE) and patch.min() >= 0 and patch.max() <= 1
        for box in target["box"].reshape(-1, 2, 3):
            (low, high), found = box.long(), found + 1
            assert (patch[0, low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1] > 0.7).all()
        outside = patch[0].clone()
        for low, high in target["box"].long().reshape(-1, 2, 3):
            outside[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1] = 0
        middles_elsewhere = (outside > 0.7).sum()  # of a nodule cut by the edge, less than half
        assert middles_elsewhere < 125 / 2
    assert found >= 20


def test_a_ct_smaller_than_the_patch_is_extended(sample):
    patch, target = random_patch(
        Sample(sample.image[:, :16, :16, :20], sample.boxes[:1]), (32, 32, 32), np.random.default_rng(0)
    )
    assert patch.shape == (1, 32, 32, 32)
    assert len(target["box"]) == 1


def test_a_nodule_of_a_turned_ct_has_its_box_where_its_voxels_are():
    hu = np.full((30, 60, 50), -900, np.int16)
    hu[10:15, 20:30, 15:25] = 50  # 10 mm in every direction
    direction = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]).T  # a coronal CT
    ct = CTVolume(hu, (1.0, 1.0, 2.0), (5.0, -7.0, 30.0), direction)
    centre = ct.grid.to_lps(np.array([19.5, 24.5, 12.0]))
    sample = make_sample(ct, centre[None], np.array([10.0]), small_settings(1.0))
    low, high = sample.boxes.reshape(2, 3).round().long()
    inside = sample.image[0][tuple(slice(a, b) for a, b in zip(low + 1, high, strict=True))].float()
    assert inside.mean() > 0.75  # of soft tissue, 0.81 in the network's input
    assert (sample.image[0].float() > 0.5).sum() == pytest.approx(1000, rel=0.2)


def test_batches_are_the_same_for_a_seed_and_an_epoch(sample):
    def first(seed, epoch):
        data = PatchDataModule([sample], SHAPE, 2, 3, seed)
        batches = data.train_dataloader()
        batches.dataset.epoch = epoch
        return next(iter(batches))[0]

    assert torch.equal(first(0, 0), first(0, 0))
    assert not torch.equal(first(0, 0), first(0, 1))
    assert not torch.equal(first(0, 0), first(1, 0))
