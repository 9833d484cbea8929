import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ctxai.data.settings import FoldConfig, ViewConfig
from ctxai.errors import InputError
from ctxai.evaluate.predictions.baselines import ResNet18, baseline_network, features_scores, network_scores
from ctxai.models.settings import BackboneConfig, OptimConfig
from ctxai.run.config import RunConfig

from cohorts import sphere_store

AXIAL = ViewConfig(views=("axial",), pixels=32)


def config(**options):
    """Options of a short training; its backbone began from a file that need not be there."""
    return RunConfig(
        **{
            "views": AXIAL,
            "backbone": BackboneConfig(depth=1, weights="pretrained.safetensors"),
            "optim": OptimConfig(epochs=4, batch_size=8, ema_decay=0.0, learning_rate=1e-3),
            "folds": FoldConfig(),
        }
        | options
    )


@pytest.mark.parametrize("name", ["resnet18", "random_vit"])
def test_a_baseline_network_learns_what_is_easy_and_goes_on_where_it_was(tmp_path, name):
    store = sphere_store(tmp_path / "store", nodules=40, depth=1)
    chosen = np.flatnonzero(store.table["fold"] == 0)
    scores = network_scores(name, config(), store.path, chosen, tmp_path / "work", "cpu")
    assert roc_auc_score(store.table["label_malignancy"][chosen], scores) > 0.9
    again = network_scores(name, config(), store.path, chosen[:2], tmp_path / "work", "cpu")
    np.testing.assert_allclose(again, scores[:2], atol=1e-5)


def test_the_networks_are_what_they_are_called():
    resnet = baseline_network("resnet18", config())
    assert isinstance(resnet.backbone, ResNet18)
    assert resnet(torch.zeros(2, 3, 32, 32)).shape == (2, 9)
    assert sum(p.numel() for p in resnet.backbone.parameters()) == pytest.approx(11.2e6, rel=0.01)
    torch.manual_seed(0)
    first = baseline_network("random_vit", config())
    torch.manual_seed(0)
    expected = RunConfig(views=AXIAL, backbone=BackboneConfig(depth=1)).make_model()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), expected.parameters(), strict=True))


def test_baselines_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(InputError, match="baseline 'vgg': expected one of resnet18, random_vit"):
        network_scores("vgg", config(), tmp_path, np.arange(1), tmp_path)
    with pytest.raises(InputError, match="does not predict"):
        network_scores("resnet18", config(targets=("margin",)), tmp_path, np.arange(1), tmp_path)
    with pytest.raises(InputError, match="began from random weights"):
        baseline_network("random_vit", config(backbone=BackboneConfig(depth=1)))


def test_the_feature_baseline_learns_from_training_rows_alone():
    n = 120
    generator = np.random.default_rng(0)
    label = (np.arange(n) % 2).astype(float)
    table = pd.DataFrame(
        {"nodule_id": np.arange(n), "patient_id": [f"P{i // 2}" for i in range(n)], "label_malignancy": label}
    )
    features = pd.DataFrame({"nodule_id": np.arange(n), "size": label + generator.normal(0, 0.3, n), "noise": 1.0})
    training, chosen = np.arange(80), np.arange(80, n)
    scores = features_scores(features, table, training, chosen)
    assert roc_auc_score(label[chosen], scores) > 0.95
    hidden = table.assign(label_malignancy=np.where(np.arange(n) < 80, label, np.nan))
    np.testing.assert_array_equal(features_scores(features, hidden, training, chosen), scores)
    with pytest.raises(InputError, match="features: 1 nodules of the store are missing, first 7"):
        features_scores(features.drop(index=7), table, training, chosen)
