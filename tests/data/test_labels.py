import numpy as np
import pandas as pd
import pytest

from ctxai.data.labels import NODULE_FOLDS, TARGETS, permute_patients, split_rows, targets_of
from ctxai.data.settings import FoldConfig
from ctxai.errors import StoreError

from cohorts import label_table


def test_targets_follow_the_documented_order():
    assert list(TARGETS) == [
        "malignancy",
        "subtlety",
        "calcification",
        "margin",
        "lobulation",
        "spiculation",
        "diameter",
        "texture",
        "sphericity",
    ]


def test_soft_labels_are_the_mean_rating_from_zero_to_one():
    table = label_table(3).assign(malignancy_mean=[1.0, 3.0, 4.75], diameter_mm=[5.0, np.nan, 7.5])
    targets = targets_of(table, "soft")
    np.testing.assert_allclose(targets[:, 0], [0.0, 0.5, 0.9375])
    np.testing.assert_array_equal(targets[:, TARGETS.index("diameter")], np.float32([5.0, np.nan, 7.5]))


def test_hard_labels_leave_out_a_median_of_three():
    table = label_table(3).assign(label_malignancy=[1.0, 0.0, np.nan])
    np.testing.assert_array_equal(targets_of(table, "hard")[:, 0], np.float32([1, 0, np.nan]))


def test_the_rating_itself_may_be_the_target():
    table = label_table(3).assign(malignancy_mean=[1.0, 3.25, np.nan])
    np.testing.assert_array_equal(targets_of(table, "rating")[:, 0], np.float32([1.0, 3.25, np.nan]))


def test_folds_go_to_their_parts_and_unusable_rows_to_none():
    table = label_table(40)
    table.loc[0, "fault"] = "slices missing"
    table.loc[1, "malignancy_mean"] = np.nan
    table.loc[2, "n_readers"] = 2
    split = split_rows(table, FoldConfig(test=4, validation=3))
    fold = table["fold"].to_numpy()
    assert set(fold[split.test]) == {4}
    assert set(fold[split.validation]) == {3}
    assert set(fold[split.training]) == {0, 1, 2}
    assert not {0, 1, 2} & {*split.training, *split.validation, *split.test}
    assert 2 in split_rows(table, FoldConfig(test=4, validation=3, training_min_readers=1)).training


def test_parts_share_no_patient():
    table = label_table(40)
    split = split_rows(table, FoldConfig())
    parts = [set(table["patient_id"].iloc[rows]) for rows in (split.training, split.validation, split.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_a_patient_in_two_folds_is_refused():
    table = label_table(40)
    table.loc[0, "fold"] = 3
    with pytest.raises(StoreError, match="patient P000 is in 2 folds"):
        split_rows(table, FoldConfig())


def test_folds_by_nodule_are_taken_only_by_that_name_and_with_a_warning(caplog):
    table = label_table(40).assign(fold=[row // 2 % 5 if row % 4 else (row // 2 + 1) % 5 for row in range(40)])
    with pytest.raises(StoreError, match=r"folds have to hold whole patients \(--folds.unit nodule only"):
        split_rows(table, FoldConfig())
    split = split_rows(table, FoldConfig(unit="nodule"))
    assert {*table["patient_id"].iloc[split.training]} & {*table["patient_id"].iloc[split.test]}
    assert "10 of 20 patients are in several folds" in caplog.text
    assert NODULE_FOLDS in caplog.text


def test_folds_by_patient_are_not_called_folds_by_nodule():
    with pytest.raises(StoreError, match="this store's folds hold whole patients"):
        split_rows(label_table(40), FoldConfig(unit="nodule"))


@pytest.mark.parametrize(("fold", "part"), [(0, r"test \(fold 0\)"), (1, r"validation \(fold 1\)")])
def test_a_fold_of_one_class_is_refused(fold, part):
    table = label_table(40)
    table.loc[table["fold"] == fold, "label_malignancy"] = 1.0
    with pytest.raises(StoreError, match=rf"{part}: 8 malignant and 0 benign nodules of 8"):
        split_rows(table, FoldConfig())


def test_a_store_without_labels_is_refused():
    with pytest.raises(StoreError, match=r"no labels: columns .*malignancy_mean"):
        split_rows(pd.DataFrame({"patient_id": ["a"], "fault": [""]}), FoldConfig())
    with pytest.raises(StoreError, match="no labels: none of its 40 nodules"):
        split_rows(label_table(40).assign(malignancy_mean=np.nan), FoldConfig())


def test_one_fold_cannot_be_both_test_and_validation():
    with pytest.raises(StoreError, match="two different folds"):
        split_rows(label_table(40), FoldConfig(test=1, validation=1))


def test_permuted_labels_are_the_same_labels_on_other_patients():
    patients = np.repeat([f"P{i}" for i in range(30)], 2)
    targets = np.arange(60, dtype=np.float32)[:, None].repeat(9, axis=1)
    shuffled = permute_patients(targets, patients, seed=1)
    np.testing.assert_array_equal(np.sort(shuffled[:, 0]), targets[:, 0])
    np.testing.assert_array_equal(shuffled, shuffled[:, :1].repeat(9, axis=1))  # a nodule's targets stay together
    kept = (patients[shuffled[:, 0].astype(int)] == patients).mean()
    assert kept < 0.2
    np.testing.assert_array_equal(shuffled, permute_patients(targets, patients, seed=1))


def test_permuted_labels_forget_the_order_within_a_patient():
    patients = np.repeat([f"P{i}" for i in range(200)], 2)
    targets = np.tile([0.0, 1.0], 200).astype(np.float32)[:, None]  # every patient has one of each, in this order
    agreement = (permute_patients(targets, patients, seed=0) == targets).mean()
    assert 0.4 < agreement < 0.6
