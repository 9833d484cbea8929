import numpy as np
import pandas as pd
import pytest
import torch

from ctxai.data.augment import AugmentConfig
from ctxai.data.auxiliary import AuxiliarySource, consensus, outline_shares, reader_shares
from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.labels import FoldConfig
from ctxai.data.views import ViewConfig, view_planes
from ctxai.errors import InputError, StoreError

from cohorts import sphere_store

VIEWS = ViewConfig(views=("axial",), pixels=32)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sphere_store(tmp_path_factory.mktemp("auxiliary") / "store", nodules=20, depth=1)


def test_shares_are_of_readers_above_each_step_of_the_scale():
    shares = reader_shares(pd.DataFrame({"malignancy_ratings": ["5|5|4", "1", "3|2", ""]}), "here")
    np.testing.assert_allclose(shares[:3], [[1, 1, 1, 2 / 3], [0, 0, 0, 0], [1, 0.5, 0, 0]])
    assert np.isnan(shares[3]).all()


def test_a_store_without_single_ratings_is_refused():
    with pytest.raises(StoreError, match="malignancy_ratings"):
        reader_shares(pd.DataFrame({"malignancy_mean": [3.0]}), "here")


def test_the_outline_is_shared_out_over_the_image():
    inside = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    inside[..., 28:36, 28:36] = True
    shares = outline_shares(inside, view_planes("axial", (0.0,)), VIEWS, 16)
    assert shares.shape == (1, 16, 16)
    assert float(shares.sum() * 2 * 2) == pytest.approx(64.0)  # mm², in parts of 2 x 2 mm
    assert torch.equal(shares[0, 6:10, 6:10], torch.ones(4, 4))


def test_weights_follow_the_number_of_readers(store):
    rows = np.arange(4)
    assert AuxiliarySource(store, rows).weight.tolist() == [1.0] * 4
    assert AuxiliarySource(store, rows, (0.4, 0.7)).weight.tolist() == pytest.approx([0.7] * 4)  # four readers each


def batches(store, augment, **options):
    data = NoduleDataModule(store.path, VIEWS, augment, FoldConfig(), batch_size=6, auxiliary=True, **options)
    return list(data.train_dataloader())


def test_the_outline_moves_with_the_image(store):
    far = AugmentConfig(far_shift_mm=8.0, far_share=1.0)
    (images, _, extra), *_ = batches(store, far, outline_side=16)
    bright = torch.nn.functional.adaptive_avg_pool2d(images[:, :1], 16)[:, 0]
    for image, outline in zip(bright, extra["outline"], strict=True):
        assert image[outline > 0.9].mean() > image[outline < 0.1].mean() + 0.5
    middles = [(outline * torch.arange(16.0)).sum() / outline.sum() for outline in extra["outline"]]
    assert np.std(middles) > 0.5


def test_far_marks_leave_the_other_draws_of_a_training_as_they_are(store):
    plain, none = (batches(store, augment) for augment in (AugmentConfig(), AugmentConfig(far_shift_mm=5.0)))
    assert torch.equal(plain[0][0], none[0][0])


def test_permuted_labels_have_no_auxiliary_targets(store):
    with pytest.raises(InputError, match="shuffle_labels"):
        batches(store, AugmentConfig(), shuffle_labels=True)


def test_half_of_the_outlines_make_the_consensus():
    assert consensus(np.array([0, 1, 2, 3, 4])).tolist() == [False, False, True, True, True]
    assert consensus(np.array([0, 1])).tolist() == [False, True]  # one outline of a nodule that several rated
    assert not consensus(np.zeros(3)).any()
