"""The demo as a newcomer runs it, once; then what it claims is checked on its outputs."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from ctxai.cli import main
from ctxai.data.store import NoduleStore
from ctxai.run.run import Run


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo-out"
    assert main(["demo", "--out", str(folder)]) == 0
    return folder


def test_the_test_fold_is_told_apart_and_the_figures_are_recorded(demo):
    metrics = json.loads((demo / "run" / "metrics.json").read_text())["test"]
    auc = metrics["malignancy"]["auc"]
    assert auc["value"] >= 0.8
    assert auc["low"] < auc["value"] <= auc["high"]
    with (demo / "run" / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label_malignancy"]]
    labels = [float(row["label_malignancy"]) for row in rows]
    assert roc_auc_score(labels, [float(row["malignancy_logit"]) for row in rows]) == pytest.approx(
        auc["value"], abs=1e-4
    )
    inside = [float(r["malignancy_low"]) <= float(r["malignancy_readers"]) <= float(r["malignancy_high"]) for r in rows]
    assert np.mean(inside) > 0.6
    assert metrics["targets"]["malignancy"]["coverage"]["value"] > 0.6


def test_no_patient_is_on_two_sides(demo):
    patients = Run.load(demo / "run").provenance["patients"]
    sides = [set(patients[name]) for name in ("training", "validation", "test")]
    assert all(sides)
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_explained_nodules_are_of_the_test_fold_and_have_pictures_and_overlays(demo):
    rows = json.loads((demo / "explained" / "predictions.json").read_text())["nodules"]
    patients = Run.load(demo / "run").provenance["patients"]["test"]
    assert rows
    for row in rows:
        assert row["nodule_id"].rpartition("-")[0] in patients
        assert row["in_sample"] is False
        folder = demo / "explained" / row["series"]
        assert (folder / "views" / f"{row['nodule_id']}.png").is_file()
        for method in ("path_gradients", "cdam"):
            assert (folder / "maps" / f"{method}_malignancy.nii.gz").is_file()
            assert (folder / "dicom" / "pmap" / f"{method}_malignancy_for.dcm").is_file()
    with Image.open(demo / "contact_sheet.png") as sheet:
        assert sheet.width > 1000


def test_it_stays_under_two_gigabytes(demo):
    assert sum(path.stat().st_size for path in demo.rglob("*") if path.is_file()) < 2e9


def test_a_second_run_redoes_nothing_and_prints_the_table_again(demo, capsys):
    watched = [demo / "store" / "nodules.parquet", demo / "run" / "weights.safetensors"]
    watched += sorted((demo / "dicom").rglob("*.dcm"))[:5] + sorted((demo / "explained").rglob("*.dcm"))
    before = [path.stat().st_mtime_ns for path in watched[1:]]
    content = watched[0].read_bytes()
    assert main(["demo", "--out", str(demo)]) == 0
    assert [path.stat().st_mtime_ns for path in watched[1:]] == before
    assert watched[0].read_bytes() == content
    printed = capsys.readouterr().out
    assert "predicted [90 %]" in printed
    assert "contact_sheet.png" in printed
    assert re.search(r"Test fold: AUC 0\.\d{3}", printed)


def test_the_same_training_on_shuffled_labels_stays_at_chance(demo, tmp_path):
    """Labels are permuted between training patients, so only a leak could lift the AUC on unseen ones.

    Chance alone spreads widely here, to both sides, because what is learnt follows the diameter or runs against it.
    """
    arguments = ["train", str(demo / "store"), str(tmp_path / "run"), "--config", "hybrid-views.yaml"]
    targets_alone = [
        "--shuffle-labels",
        "--heads.readout",
        "logit",
        "--views.recentre-mm",
        "0",
        "--augment.erase.grounded=False",
    ]
    targets_alone += [text for head in ("soft", "rank", "outline") for text in (f"--heads.{head}", "0")]
    assert main([*arguments, *targets_alone]) == 0
    run = Run.load(tmp_path / "run")
    store = NoduleStore(demo / "store")
    table = store.table
    fine = table[(table.fault == "") & table.label_malignancy.notna() & table.fold.isin([0, 1])]  # nothing learnt here
    logits = run.predict(np.stack([store.hu(row) for row in fine.index])).malignancy_logit
    auc = roc_auc_score(fine.label_malignancy, logits)
    assert auc < 0.75
    trained = Run.load(demo / "run").predict(np.stack([store.hu(row) for row in fine.index])).malignancy_logit
    assert roc_auc_score(fine.label_malignancy, trained) > auc + 0.1
