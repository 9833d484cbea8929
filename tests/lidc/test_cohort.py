import numpy as np
import pandas as pd
import pytest

from ctxai.errors import InputError
from ctxai.lidc.cohort import USED, CohortRules, build_manifest, load_rules, malignancy_label, patient_folds
from ctxai.lidc.database import LidcDatabase


@pytest.fixture(scope="module")
def tables():
    return build_manifest(LidcDatabase(), load_rules("default"))


def test_every_nodule_and_reading_has_a_status_that_says_why(tables):
    nodules, readings = tables["nodules"], tables["readings"]
    assert (len(tables["scans"]), len(nodules), len(readings)) == (1018, 2651, 6859)
    assert nodules.status.value_counts()["more than 4 readings cannot be told apart"] == 14
    assert nodules.status.value_counts()["fewer than 3 readers"] == (nodules.n_readers < 3).sum()
    wrong = readings[readings.status.str.startswith("rating out of range")]
    assert list(wrong.patient_id) == ["LIDC-IDRI-0510"]
    assert list(wrong.status) == ["rating out of range: internalStructure=5"]


def test_a_rating_out_of_range_does_not_enter_a_mean(tables):
    rows = tables["nodules"].query("patient_id == 'LIDC-IDRI-0510' and internalStructure_ratings.str.contains('5')")
    assert list(rows.internalStructure_ratings) == ["5"]
    assert rows.internalStructure_mean.isna().all()
    assert rows.malignancy_mean.notna().all()


def test_labels_follow_the_median_and_three_is_undecided(tables):
    assert (malignancy_label(3.5), malignancy_label(2.5)) == (1.0, 0.0)
    assert np.isnan(malignancy_label(3.0))
    used = tables["nodules"][tables["nodules"].status == USED]
    assert used.label_malignancy.value_counts().to_dict() == {0.0: 448, 1.0: 421}


def test_folds_never_share_a_patient_and_are_balanced(tables):
    folds = tables["folds"]
    assert (folds.groupby("patient_id").fold.nunique() == 1).all()
    used = tables["nodules"].merge(folds[["nodule_id", "fold"]]).query("status == @USED")
    share = used.groupby("fold").label_malignancy.mean()
    assert len(share) == 5
    assert share.max() - share.min() < 0.1
    counts = used.dropna(subset="label_malignancy").groupby("fold").size()
    assert counts.max() / counts.min() < 1.25


def test_the_rules_are_data():
    rules = CohortRules(min_readers=4, max_slice_thickness_mm=2.0)
    database = LidcDatabase()
    nodules = build_manifest(database, rules, database.scans[:60])["nodules"]
    assert set(nodules[nodules.status == USED].n_readers) == {4}
    assert "slices thicker than 2 mm" in set(nodules.status)


def test_too_few_patients_get_no_folds():
    table = pd.DataFrame({"patient_id": ["a", "b"], "status": USED, "label_malignancy": [1.0, 0.0]})
    assert list(patient_folds(table, CohortRules())) == [-1, -1]


def test_an_unknown_cohort_or_key_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file among configs"):
        load_rules("nobody")
    wrong = tmp_path / "c.yaml"
    wrong.write_text("min_reader: 3\n")
    with pytest.raises(InputError, match="min_readers"):
        load_rules(str(wrong))


def test_the_published_cohort_has_its_counts_and_its_folds_leak(tables):
    nodules = tables["nodules"]
    rules = load_rules("conrad")
    published = build_manifest(LidcDatabase(), rules)
    used = published["nodules"].query("status == @USED")
    # 869 in the facts, of which 11 lie in ambiguous scans but are clear themselves.
    assert used.label_malignancy.value_counts().to_dict() == {0.0: 448, 1.0: 421}
    assert set(used.nodule_id) < set(nodules[nodules.status == USED].nodule_id)
    folds = published["folds"]
    assert set(folds.nodule_id) == set(used.nodule_id)
    assert (folds.groupby("patient_id").fold.nunique() > 1).sum() > 100
    share = used.merge(folds[["nodule_id", "fold"]]).groupby("fold").label_malignancy.mean()
    assert share.max() - share.min() < 0.01
    counts = folds.fold.value_counts()
    assert counts.max() - counts.min() <= 2


def test_an_unknown_unit_of_folds_is_refused(tmp_path):
    wrong = tmp_path / "c.yaml"
    wrong.write_text("fold_unit: scan\n")
    with pytest.raises(InputError, match="fold_unit is 'scan', expected patient or nodule"):
        load_rules(str(wrong))
