import pandas as pd
import pytest

from ctxai.data.views import ViewConfig
from ctxai.errors import InputError
from ctxai.evaluate.predictions import judge
from ctxai.models.backbone import BackboneConfig
from ctxai.models.classifier import OptimConfig
from ctxai.models.run import Run
from ctxai.stages.evaluate import evaluate
from ctxai.stages.train import train

from cohorts import sphere_store


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store and a run trained on it for an epoch."""
    folder = tmp_path_factory.mktemp("evaluate")
    store = sphere_store(folder / "store", nodules=40, depth=1)
    train(
        store.path,
        folder / "run",
        views=ViewConfig(views=("axial",), pixels=16),
        backbone=BackboneConfig(depth=1),
        optim=OptimConfig(epochs=1),
        accelerator="cpu",
    )
    return store, folder / "run"


def test_figures_follow_from_the_predictions_file_alone(trained, capsys):
    store, run_dir = trained
    evaluate(run_dir, store.path)
    run = Run.load(run_dir)
    table = pd.read_csv(run_dir / "predictions.csv")
    assert judge(table) == run.metrics["test"]
    assert sorted(table["patient_id"].unique()) == run.provenance["patients"]["test"]
    assert {path.name for path in (run_dir / "plots").iterdir()} == {"roc.png", "reliability.png", "biomarkers.png"}
    auc = f"{run.metrics['test']['malignancy']['auc']['value']:.3f}"
    printed = capsys.readouterr().out
    assert auc in printed and "sphericity" in printed
    assert f"| this run | {auc} |" in (run_dir / "model_card.md").read_text()
    assert "epoch_losses" in run.metrics["training"]


def test_hand_made_features_are_compared_on_the_same_nodules(trained, tmp_path):
    store, run_dir = trained
    features = store.table[["nodule_id", "texture_mean"]]
    features.to_csv(tmp_path / "features.csv", index=False)
    evaluate(run_dir, store.path, features=tmp_path / "features.csv")
    found = Run.load(run_dir).metrics["test"]["malignancy"]
    assert found["features_auc"]["value"] == 1.0
    assert found["auc_minus_features"]["value"] == pytest.approx(found["auc"]["value"] - 1.0)
    with pytest.raises(InputError, match="no such file of features"):
        evaluate(run_dir, store.path, features=tmp_path / "absent.csv")


def test_a_store_whose_test_patients_were_trained_on_is_refused(trained, tmp_path):
    store, run_dir = trained
    other = sphere_store(tmp_path / "other", nodules=40, depth=1)
    other.write_table(store.table.assign(fold=(store.table["fold"] + 2) % 5))
    with pytest.raises(InputError, match="4 patients of its test fold were trained or calibrated on"):
        evaluate(run_dir, other.path)
