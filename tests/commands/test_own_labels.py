"""Labels of one's own, given beside points: they are trained on and judged, without readers."""

from pathlib import Path

import pandas as pd
import pytest

from ctxai.annotations import CTDescription
from ctxai.annotations.points import Points
from ctxai.commands.evaluate import evaluate
from ctxai.commands.train import train
from ctxai.data.settings import FoldConfig, ViewConfig
from ctxai.errors import InputError, StoreError
from ctxai.ingestion.plan import IngestPlan, plan_annotated
from ctxai.models.settings import BackboneConfig, OptimConfig
from ctxai.run.run import Run
from ctxai.training.settings import Execution

from cohorts import sphere_store

QUICK = {
    "views": ViewConfig(views=("axial",), pixels=16),
    "backbone": BackboneConfig(depth=1),
    "optim": OptimConfig(epochs=1, batch_size=8),
    "execution": Execution(accelerator="cpu"),
    "targets": ["malignancy"],
}


def plan(patients: pd.Series, series_uids: pd.Series, points: Path) -> IngestPlan:
    cts = {uid: CTDescription(uid, patient, patient) for uid, patient in zip(series_uids, patients, strict=True)}
    return plan_annotated({}, list(cts.values()), Points(points))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Spheres whose table is that of points with a malignancy of 1 or 5 and no other rating."""
    folder = tmp_path_factory.mktemp("own")
    store = sphere_store(folder / "store", nodules=40, depth=1)
    old = store.table
    points = old[["nodule_id", "series_uid", "x", "y", "z", "diameter_mm"]]
    points.assign(malignancy=1 + 4 * old.label_malignancy).to_csv(folder / "points.csv", index=False)
    store.write_table(plan(old.patient_id, old.series_uid, folder / "points.csv").rows.assign(fault=""))
    return store


def test_points_with_labels_get_folds_of_whole_patients(store):
    table = store.table
    assert sorted(table.fold.unique()) == [0, 1, 2, 3, 4]
    assert (table.groupby("patient_id").fold.nunique() == 1).all()


def test_points_without_labels_get_none(store, tmp_path):
    store.table[["nodule_id", "series_uid", "x", "y", "z"]].to_csv(tmp_path / "points.csv", index=False)
    uids = store.table.series_uid
    assert (plan(uids, uids, tmp_path / "points.csv").rows.fold == -1).all()


def test_a_run_is_trained_and_judged_on_labels_without_readers(store, tmp_path):
    train(store.path, tmp_path / "run", folds=FoldConfig(min_readers=0, training_min_readers=0), **QUICK)
    evaluate(tmp_path / "run", store.path)
    predictions = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert set(predictions.nodule_id) == set(store.table.nodule_id[store.table.fold == 0])
    assert Run.load(tmp_path / "run").metrics["test"]


def test_the_refusal_names_the_option_for_labels_without_readers(store, tmp_path):
    with pytest.raises(StoreError, match=r"folds\.min_readers"):
        train(store.path, tmp_path / "run", **QUICK)


def test_targets_without_labels_are_named_and_never_predicted(store, tmp_path, caplog):
    options = QUICK | {"folds": FoldConfig(min_readers=0, training_min_readers=0)}
    train(store.path, tmp_path / "run", **options | {"targets": ["malignancy", "texture", "diameter"]})
    assert "no training nodule has a label of texture" in caplog.text
    assert Run.load(tmp_path / "run").target_names == ("malignancy", "diameter")
    with pytest.raises(InputError, match="no training nodule has a label of texture"):
        train(store.path, tmp_path / "other", **options | {"targets": ["texture"]})
