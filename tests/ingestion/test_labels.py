"""Labels of the user's own: a table, or columns beside points."""

import numpy as np
import pydicom
import pytest

from ctxai.annotations.points import Points
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import InputError
from ctxai.ingestion.discovery import TreeOptions, plan_tree

from synthetic_ct import write_ct

PATIENTS = ["P1", "P2", "P3"]


@pytest.fixture
def tree(tmp_path):
    """Three patients with one CT each; two nodules in each, which are called a and b."""
    lines = ["x,y,z,nodule_id,series_uid"]
    for patient in PATIENTS:
        write_ct(
            tmp_path / "ct" / patient, np.zeros((4, 8, 8), np.int16), seed=patient, attributes={"PatientID": patient}
        )
        uid = pydicom.dcmread(next((tmp_path / "ct" / patient).iterdir())).SeriesInstanceUID
        lines += [f"-48,-38,-118,a,{uid}", f"-47,-37,-118,b,{uid}"]
    (tmp_path / "points.csv").write_text("\n".join(lines))
    return tmp_path


def rows(tree, labels=None, points="points.csv"):
    path = None
    if labels is not None:
        path = tree / "labels.csv"
        path.write_text(labels)
    names = Pseudonymizer(tree / "key")
    return plan_tree(TreeOptions(tree / "ct", names, annotations=Points(tree / points), labels=path)).rows


def test_names_that_restart_in_every_series_are_told_apart(tree):
    assert rows(tree).nodule_id.is_unique


def test_a_table_by_patient_labels_every_nodule_of_the_patient(tree, caplog):
    found = rows(tree, "PatientID,doubling_days,stage\nP1,120,I\nP2,,II\nP9,3,I\n")
    assert found.doubling_days.tolist()[:2] == [120, 120] and found.doubling_days[2:].isna().all()
    assert found.stage.fillna("").tolist() == ["I", "I", "II", "II", "", ""]
    assert "2 of 3 rows used, by patient_id; columns used: doubling_days, stage; left out: none" in caplog.text


def test_a_table_by_patient_and_nodule_labels_one_nodule(tree):
    found = rows(tree, "PatientID,nodule_id,label_malignancy\nP1,a,1\nP2,b,0\n")
    assert sorted(found.label_malignancy.dropna()) == [0, 1]


def test_a_line_that_names_two_patients_is_refused(tree):
    for number, path in enumerate(sorted((tree / "ct").glob("P[12]/*"))):
        image = pydicom.dcmread(path)
        image.PatientID, image.IssuerOfPatientID = "P1", f"clinic {number // 4}"
        image.save_as(path)
    with pytest.raises(InputError, match="line 2: patient_id names two patients"):
        rows(tree, "PatientID,grade\nP1,120\nP3,3\n")
    by_name = rows(tree)
    first, second = by_name.patient_id.unique()[:2]
    found = rows(tree, f"patient_id,grade\n{first},1\n{second},2\n")
    assert found.grade.fillna(0).tolist() == [1, 1, 2, 2, 0, 0]


def test_own_folds_are_respected_and_may_not_divide_a_patient(tree):
    found = rows(tree, "PatientID,fold,grade\nP1,0,1\nP2,3,2\nP3,1,3\n")
    assert found.fold.tolist() == [0, 0, 3, 3, 1, 1]
    uids = found.series_uid.unique()
    text = "series_uid,nodule_id,fold\n" + "".join(f"{uid},{name},{n}\n" for uid in uids for n, name in enumerate("ab"))
    with pytest.raises(InputError, match="a patient's nodules are in several folds"):
        rows(tree, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "no column says whose a row is"),
        ("PatientID,grade\nP7,1\n", "none of its 1 rows names a nodule here"),
        ("PatientID,grade\nP1,1\nP1,2\n", "line 3: the same patient_id as in line 2"),
        ("PatientID,label_malignancy\nP1,7\n", "label_malignancy is not a number from 0 to 1"),
        ("PatientID,spiculation\nP1,9\n", "spiculation is not a number from 1 to 5"),
        ("PatientID,fold\nP1,1.5\n", "fold is not a whole number"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tree, text, words):
    with pytest.raises(InputError, match=words):
        rows(tree, text)


def test_numbers_beside_points_are_labels_and_texts_are_told(tree, caplog):
    lines = (tree / "points.csv").read_text().splitlines()
    table = [f"{lines[0]},grade,comment"] + [f"{line},{n},Jane Doe" for n, line in enumerate(lines[1:])]
    (tree / "own.csv").write_text("\n".join(table))
    found = rows(tree, points="own.csv")
    assert found.grade.tolist() == [0, 1, 2, 3, 4, 5]
    assert "comment" not in found.columns
    assert "columns that are no numbers are left out: comment" in caplog.text and "Jane" not in caplog.text


def test_points_of_series_that_are_not_there_are_left_out_and_told(tree):
    text = (tree / "points.csv").read_text() + "\n1,2,3,c,9.9.9\n"
    (tree / "own.csv").write_text(text)
    plan = plan_tree(TreeOptions(tree / "ct", Pseudonymizer(tree / "key"), annotations=Points(tree / "own.csv")))
    assert len(plan.rows) == 6
    (issue,) = [issue for issue in plan.issues if issue.name == "series not found"]
    assert (issue.series_uid, issue.nodule_id, issue.action) == ("9.9.9", "c", "left out")


def test_points_are_placed_by_patient_id(tree):
    (tree / "own.csv").write_text("x,y,z,PatientID\n-48,-38,-118,P2\n-48,-38,-118,P1\n-48,-38,-118,P9\n")
    found = rows(tree, points="own.csv")
    assert found.series_uid.nunique() == 2 and len(found) == 2
