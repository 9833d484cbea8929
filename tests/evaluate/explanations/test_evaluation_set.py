"""Nodules as the images that explanations are judged on."""

import numpy as np
import pandas as pd
import pytest
import torch

from ctxai.data.settings import ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.data.views import render_own_views
from ctxai.evaluate.explanations.evaluation_set import choose_rows, read_subjects


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three cubes; the readers' outlines are boxes towards inferior, anterior and right, read by 4, 3 and 0 of 4."""
    store = NoduleStore.create(tmp_path_factory.mktemp("subjects") / "store", 3, (16, 16, 16))
    generator = np.random.default_rng(0)
    for row, readers in enumerate((4, 3, 0)):
        agreement = np.zeros((16, 16, 16), int)
        agreement[2:8, 2:8, 2:8] = readers
        agreement[8:10, 8:10, 8:10] = min(readers, 1)
        hu = generator.integers(-900, 200, agreement.shape)
        store.write(row, hu, agreement, np.ones_like(hu))
    table = pd.DataFrame({"nodule_id": list("abc"), "patient_id": list("xxy"), "n_readers": 4})
    store.write_table(table.assign(label_malignancy=[1.0, 0.0, np.nan]))
    return store


VIEWS = ViewConfig(views=("axial", "coronal"), field_of_view_mm=16, pixels=16, slice_offsets_mm=(-2.5,))


def test_images_are_those_the_run_sees_nodule_by_nodule(store):
    found = read_subjects(store, [0, 2], VIEWS)
    expected = render_own_views(torch.from_numpy(np.stack([store.hu(0), store.hu(2)])), VIEWS)
    assert found.images.equal(expected.flatten(0, 1))
    assert found.nodule.tolist() == [0, 0, 1, 1]
    assert found.nodule_ids.tolist() == ["a", "c"]


def test_half_of_the_readers_make_the_mask_in_every_view(store):
    masks = read_subjects(store, [0, 1, 2], VIEWS).masks["readers"]
    axial = np.zeros((16, 16), bool)
    axial[2:8, 2:8] = True
    coronal = np.zeros((16, 16), bool)
    coronal[8:14, 2:8] = True  # the head is at the top
    for place, expected in enumerate([axial, coronal, axial, coronal, ~axial & axial, ~axial & axial]):
        assert np.array_equal(masks[place].numpy(), expected)


def test_scores_of_a_nodule_are_the_mean_of_its_images_that_have_one(store):
    found = read_subjects(store, [0, 1, 2], VIEWS)
    scores = found.per_nodule(np.array([1.0, 3.0, np.nan, 5.0, np.nan, np.nan]))
    assert np.array_equal(scores, [2.0, 5.0, np.nan], equal_nan=True)


def test_the_first_nodules_keep_all_that_is_theirs(store):
    found = read_subjects(store, [0, 1, 2], VIEWS)
    first = found.first(2)
    assert len(first) == 2
    assert first.images.equal(found.images[:4])
    assert first.masks["readers"].equal(found.masks["readers"][:4])
    assert first.labels.tolist() == [1, 1, 0, 0]


def test_rows_are_drawn_from_both_classes_and_never_without_a_label():
    table = pd.DataFrame({"label_malignancy": [1.0] * 10 + [0.0] * 4 + [np.nan] * 6})
    rows = choose_rows(table, np.arange(20), 6, seed=0)
    assert table["label_malignancy"][rows].tolist().count(1.0) == 3
    assert len(set(rows)) == 6
    assert sorted(choose_rows(table, np.arange(20), 100, seed=1)) == list(range(14))
    assert not np.array_equal(rows, choose_rows(table, np.arange(20), 6, seed=1))
