import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from ctxai.data.auxiliary import AuxiliarySource, consensus, kept_share, outline_shares, reader_shares
from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.loader import TrainingViews
from ctxai.data.outline_features import OUTLINE_FEATURES
from ctxai.data.patches import Patches
from ctxai.data.settings import AugmentConfig, EraseConfig, FoldConfig, ViewConfig
from ctxai.data.views import view_planes
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


def test_the_kept_share_of_an_outline_is_what_was_not_removed():
    inside, removed = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.bool)
    inside[:2, 2:6, 2:6] = 1
    removed[0, :4], removed[2] = True, True
    assert kept_share(inside, removed).tolist() == [0.5, 1.0, 1.0]  # the third has no outline


def test_grounded_targets_move_to_their_mean_with_the_removed_nodule(store):
    rows, planes = np.arange(20), view_planes("axial", (0.0,)).repeat(20, 1, 1)
    source = AuxiliarySource(store, rows, grounded=True)
    none = torch.zeros(20, 32, 32, dtype=torch.bool)
    assert torch.equal(source(rows, planes, VIEWS, none)["shares"], source.shares)
    assert torch.equal(source(rows, planes, VIEWS)["shares"], source.shares)
    mean = source.shares.mean(0)
    torch.testing.assert_close(source(rows, planes, VIEWS, ~none)["shares"], mean.expand(20, -1))
    half = none.clone()
    half[:, :16] = True  # the nodules lie in the middle
    between = source(rows, planes, VIEWS, half)["shares"]
    torch.testing.assert_close(between, (source.shares + mean) / 2, atol=0.05, rtol=0)


def test_a_training_grounds_its_targets_only_where_that_is_asked_for(store):
    lost, grounded = (
        batches(store, AugmentConfig(erase=EraseConfig(share=1.0, most=1.0, grounded=grounded)))[0]
        for grounded in (False, True)
    )
    assert torch.equal(lost[0], grounded[0])
    assert not torch.equal(lost[2]["shares"], grounded[2]["shares"])


def test_grounded_targets_without_a_head_that_learns_from_them_are_refused(store):
    augment = AugmentConfig(erase=EraseConfig(share=1.0, grounded=True))
    with pytest.raises(InputError, match=r"grounded.*heads\.readout"):
        NoduleDataModule(store.path, VIEWS, augment, FoldConfig())


def test_features_in_the_outline_are_scores_of_the_training_nodules(store):
    rows = np.arange(20)
    source = AuxiliarySource(store, rows, features=True)
    scores = dict(zip(OUTLINE_FEATURES, source.features.T.numpy(), strict=True))
    diameters = store.table["diameter_mm"].to_numpy()
    assert spearmanr(scores["major_axis_mm"], diameters).statistic > 0.98
    assert spearmanr(scores["mean_hu"], store.table["label_malignancy"]).statistic > 0.8
    planes = view_planes("axial", (0.0,)).repeat(3, 1, 1)
    assert torch.equal(source([3, 1, 2], planes, VIEWS)["features"], source.features[[3, 1, 2]])


def test_features_move_to_their_mean_with_the_removed_nodule(store):
    source = AuxiliarySource(store, np.arange(20), grounded=True, features=True)
    removed = torch.ones(20, 32, 32, dtype=torch.bool)
    planes = view_planes("axial", (0.0,)).repeat(20, 1, 1)
    assert torch.equal(source(range(20), planes, VIEWS, ~removed)["features"], source.features)
    assert not source(range(20), planes, VIEWS, removed)["features"].any()
    assert source.features.any()


def test_fillers_of_a_batch_have_no_auxiliary_targets(store):
    found = batches(store, AugmentConfig(), outline_side=16, features=True)
    assert all(batch[2]["features"].isfinite().all() for batch in found)
    rows, source = np.arange(4), AuxiliarySource(store, np.arange(4), outline_side=16, features=True)
    views = TrainingViews(
        Patches(store, rows), rows, np.zeros((4, 9), np.float32), np.full(4, 9.0), VIEWS, AugmentConfig(), 0, source
    )
    _, _, extra = views[[(0, 0), (0, -1)]]
    for name in ("shares", "outline", "features"):
        assert extra[name][0].isfinite().all() and extra[name][1].isnan().all()


def test_permuted_labels_have_no_auxiliary_targets(store):
    with pytest.raises(InputError, match="shuffle_labels"):
        batches(store, AugmentConfig(), shuffle_labels=True)


def test_half_of_the_outlines_make_the_consensus():
    assert consensus(np.array([0, 1, 2, 3, 4])).tolist() == [False, False, True, True, True]
    assert consensus(np.array([0, 1])).tolist() == [False, True]  # one outline of a nodule that several rated
    assert not consensus(np.zeros(3)).any()
