import numpy as np
import pytest
import torch

from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.settings import AugmentConfig, FoldConfig, ViewConfig
from ctxai.data.views import render_batch
from ctxai.errors import InputError

from cohorts import sphere_store


def module(store, **options):
    options = {
        "views": ViewConfig(pixels=16),
        "augment": AugmentConfig(),
        "folds": FoldConfig(),
        "batch_size": 5,
    } | options
    return NoduleDataModule(store.path, **options)


def epoch_of(data):
    return [tuple(part.clone() for part in batch) for batch in data.train_dataloader()]


def test_an_epoch_shows_every_training_nodule_once(spheres):
    data = module(spheres)
    batches = epoch_of(data)
    assert [len(images) for images, _ in batches] == [5, 5, 2]
    assert batches[0][0].shape == (5, 3, 16, 16)
    seen = torch.cat([targets for _, targets in batches])[:, 6].sort().values
    torch.testing.assert_close(seen, torch.from_numpy(np.sort(data.targets[data.split.training][:, 6])))


def test_images_do_not_depend_on_batches_or_workers(spheres):
    def by_diameter(**options):
        batches = epoch_of(module(spheres, **options))
        images, targets = (torch.cat(part) for part in zip(*batches, strict=True))
        return images[targets[:, 6].argsort()]

    reference = by_diameter()
    torch.testing.assert_close(by_diameter(batch_size=12), reference)
    assert torch.equal(by_diameter(workers=1), reference)
    assert not torch.equal(by_diameter(seed=1), reference)


def test_statistics_standardise_the_training_nodules(spheres):
    data = module(spheres)
    hu = torch.stack([torch.tensor(spheres.hu(int(row))) for row in data.split.training])
    images = torch.stack([render_batch(hu, view, (0.0,), data.views) for view in data.views.views])
    assert abs(float(images.mean())) < 1e-3
    assert abs(float(images.std()) - 1) < 1e-3


def test_shuffled_labels_touch_training_nodules_only(spheres):
    plain, shuffled = module(spheres), module(spheres, shuffle_labels=True)
    held_out = np.concatenate([plain.split.validation, plain.split.test])
    np.testing.assert_array_equal(plain.targets[held_out], shuffled.targets[held_out])
    assert not np.array_equal(plain.targets, shuffled.targets)


def test_single_slices_train_on_the_axial_view_alone(tmp_path):
    store = sphere_store(tmp_path / "flat", nodules=20, depth=1)
    images, _ = epoch_of(module(store, views=ViewConfig(views=("axial",), pixels=16)))[0]
    assert torch.isfinite(images).all() and float(images.std()) > 0.1
    with pytest.raises(InputError, match="single axial slices"):
        module(store)
