import pickle

import numpy as np
import pytest
import torch

from ctxai.data.augment import AugmentConfig
from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.labels import FoldConfig
from ctxai.data.views import ViewConfig
from ctxai.errors import RunError
from ctxai.models.backbone import BackboneConfig
from ctxai.models.classifier import NoduleClassifier, OptimConfig
from ctxai.models.training import CHECKPOINT, fit

from cohorts import sphere_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sphere_store(tmp_path_factory.mktemp("flat") / "store", nodules=40, depth=1)


def prepare(store, **optim):
    views = ViewConfig(views=("axial",), pixels=16)
    data = NoduleDataModule(store.path, views, AugmentConfig(), FoldConfig(), batch_size=8)
    torch.manual_seed(0)
    model = NoduleClassifier(BackboneConfig(depth=2), 16, OptimConfig(**({"epochs": 4, "batch_size": 8} | optim)))
    model.fit_scaler(data.targets[data.split.training])
    return model, data


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_learns_what_separates_the_spheres(store, tmp_path):
    model, data = prepare(store, epochs=15, learning_rate=2e-3)
    fit(model, data, tmp_path, accelerator="cpu")
    assert len(model.epoch_losses) == 15
    assert np.mean(model.epoch_losses[-3:]) < 0.8 * model.epoch_losses[0]
    assert not model.training


def test_the_same_seed_gives_the_same_weights(store, tmp_path):
    first = fit(*prepare(store), tmp_path / "a", accelerator="cpu")
    second = fit(*prepare(store), tmp_path / "b", accelerator="cpu")
    other = fit(*prepare(store), tmp_path / "c", seed=1, accelerator="cpu")
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))  # dropout differs


@pytest.mark.parametrize("stop", [1, 3])
def test_a_killed_training_ends_with_the_weights_of_an_uninterrupted_one(store, tmp_path, stop):
    whole = fit(*prepare(store), tmp_path / "whole", accelerator="cpu")
    fit(*prepare(store), tmp_path / "cut", accelerator="cpu", epochs_now=stop)
    model, data = prepare(store)
    resumed = fit(model, data, tmp_path / "cut", accelerator="cpu")
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.epoch_losses == whole.epoch_losses


def test_the_resume_checkpoint_holds_nothing_but_plain_values(store, tmp_path):
    fit(*prepare(store), tmp_path, accelerator="cpu", epochs_now=1)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert state["epoch"] == 0


def test_a_checkpoint_that_would_run_code_is_refused(store, tmp_path):
    class Payload:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    with (tmp_path / CHECKPOINT).open("wb") as file:
        pickle.dump(Payload(), file, protocol=2)
    with pytest.raises(RunError, match=r"last\.ckpt: cannot be resumed"):
        fit(*prepare(store), tmp_path, accelerator="cpu")


def test_the_final_weights_are_the_average_unless_switched_off(store, tmp_path):
    averaged = fit(*prepare(store, ema_decay=0.9), tmp_path / "a", accelerator="cpu")
    last = fit(*prepare(store, ema_decay=0.0), tmp_path / "b", accelerator="cpu")
    assert averaged.epoch_losses == last.epoch_losses  # averaging does not touch the training itself
    assert not torch.equal(weights(averaged), weights(last))
