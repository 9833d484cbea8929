"""Nodules of LIDC-IDRI chosen by a cohort, from the database and from another source of outlines."""

from pathlib import Path

import pytest

from ctxai.annotations import CTDescription
from ctxai.annotations.lidc import LidcIdri
from ctxai.errors import InputError
from ctxai.ingestion.plan import plan_annotated, plan_cohort
from ctxai.lidc.annotations import load_tables
from ctxai.lidc.cohort import USED


@pytest.fixture(scope="module")
def tables():
    return load_tables("default")


def series_of(tables, used: bool) -> tuple[str, str]:
    """Series and patient of a scan of which some nodule is used, or none of several."""
    nodules = tables["nodules"]
    some = nodules.groupby("series_uid").status.agg(lambda status: (status == USED).any())
    uid = str(some.index[some == used][0])
    return uid, str(nodules[nodules.series_uid == uid].patient_id.iloc[0])


@pytest.mark.parametrize("route", ["database", "outlines"])
def test_a_patient_whose_nodules_are_all_excluded_is_told_why(tables, route):
    uid, patient = series_of(tables, used=False)
    with pytest.raises(InputError, match=r"no nodule is used by the cohort 'default': \d+ \w+") as error:
        if route == "database":
            plan_cohort({uid: []}, "default", None, Path("tree"))
        else:
            plan_annotated({uid: []}, [CTDescription(uid, patient, patient)], LidcIdri())
    assert "\n" not in str(error.value)


def test_a_known_patient_keeps_the_fold_of_the_manifest_whatever_the_outlines_come_from(tables):
    uid, patient = series_of(tables, used=True)
    folds = tables["folds"]
    expected = set(folds[folds.patient_id == patient].fold)
    plan = plan_annotated({uid: []}, [CTDescription(uid, patient, patient)], LidcIdri())
    assert set(plan.rows.fold) == expected != {-1}
    assert set(plan.rows.nodule_id) == set(plan_cohort({uid: []}, "default", None, Path("tree")).rows.nodule_id)
