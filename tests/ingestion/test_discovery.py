import shutil

import pytest

from ctxai.annotations.lidc import LidcXml
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import InputError
from ctxai.ingestion.discovery import TreeOptions, plan_tree

from trees import PHANTOM_PATIENTS


def plan(tree, **options):
    return plan_tree(TreeOptions(tree, Pseudonymizer(), **options))


def test_faults_are_told_of_every_series_and_of_images_that_cannot_be_read(phantom_tree, tmp_path, caplog):
    tree = tmp_path / "dicom"
    shutil.copytree(phantom_tree, tree)
    first, second = (sorted((tree / patient).rglob("*.dcm")) for patient in PHANTOM_PATIENTS)
    first[3].write_bytes(first[3].read_bytes()[:-200])
    second[3].unlink()
    found = plan(tree)
    (damaged,) = [issue for issue in found.issues if issue.name == "damaged image"]
    assert damaged.action == "left out"
    assert damaged.detail.startswith("file 4 of ") and "cut short" in damaged.detail
    assert str(tree) not in damaged.detail
    assert "left out: " in caplog.text
    faults = {(issue.patient_id, issue.name) for issue in found.issues}
    assert {(patient, "missing slice") for patient in PHANTOM_PATIENTS} <= faults


def test_only_chosen_patients_are_reported(phantom_tree):
    found = plan(phantom_tree, patients=[PHANTOM_PATIENTS[1]])
    assert {issue.patient_id for issue in found.issues} == {PHANTOM_PATIENTS[1]}
    assert set(found.rows.patient_id) == {PHANTOM_PATIENTS[1]}


def test_headers_are_not_kept_for_xml_annotations(phantom_tree, tmp_path):
    with pytest.raises(InputError, match="need the whole tree"):
        plan(phantom_tree, annotations=LidcXml(tmp_path), headers=tmp_path / "headers.parquet")
    assert not list(tmp_path.iterdir())
