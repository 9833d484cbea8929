"""Every fault that LIDC-IDRI is known for, under its own patient number, on a phantom series that has it."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from ctxai.cli import main
from ctxai.data.store import NoduleStore
from ctxai.lidc.database import LidcDatabase
from ctxai.phantom import make_series

AMBIGUOUS = "0055 0092 0137 0204 0252 0332 0340 0366 0404 0608 0815 0863 0865 0942".split()  # noqa: SIM905
TWO_SCANS = ["0132", "0151", "0315", "0332", "0355", "0365", "0442", "0484"]
REPEATED = ["0085", "0146", "0418", "0572", "0979"]


def lidc(number: str) -> str:
    return f"LIDC-IDRI-{number}"


def save_at(source: Path, z_mm: float, name: str) -> None:
    """The image ``source`` once more at another position."""
    dataset = pydicom.dcmread(source)
    x, y, _ = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x, y, f"{z_mm:.6g}"]
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{dataset.SOPInstanceUID[:50]}.{len(name)}"
    dataset.InstanceNumber = 5000 + len(name)
    dataset.save_as(source.with_name(f"{name}.dcm"))


def z_of(path: Path) -> float:
    return float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


def repeat_a_position(files: list[Path]) -> None:
    save_at(files[0], z_of(files[0]), "again")


def half_a_step(files: list[Path]) -> None:
    save_at(files[0], z_of(files[0]) + 0.5, "half")


def gap_of_38_mm(files: list[Path]) -> None:
    top = max(map(z_of, files))
    save_at(files[0], top + 38, "beyond")


def double_step(files: list[Path]) -> None:
    step = abs(z_of(files[0]) - z_of(files[1]))
    save_at(files[0], max(map(z_of, files)) + 2 * step, "double")


def tilt(files: list[Path]) -> None:
    for path in files:
        dataset = pydicom.dcmread(path)
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, f"{float(y) + 0.2 * float(z):.8g}", z]
        dataset.save_as(path)


def localizer(files: list[Path]) -> None:
    dataset = pydicom.dcmread(files[0])
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    dataset.save_as(files[0].with_name("scout.dcm"))


def mixed(files: list[Path]) -> None:
    dataset = pydicom.dcmread(files[0])
    dataset.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    dataset.save_as(files[0])


def padding(files: list[Path]) -> None:
    for path in files:
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array.copy()
        stored[:2] = -3024 - int(dataset.RescaleIntercept)
        stored[2:4] = 4000 - int(dataset.RescaleIntercept)
        dataset.PixelData = stored.tobytes()
        dataset.save_as(path)


def wrong_modality(files: list[Path]) -> None:
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.Modality = "OT"
        dataset.save_as(path)


def unknown_rescale(files: list[Path]) -> None:
    for path in files:
        dataset = pydicom.dcmread(path)
        del dataset.RescaleIntercept
        dataset.save_as(path)


#: Patient number, how its series is broken (None: the annotations themselves are odd), what the report says, and does.
CASES: list[tuple[str, Callable[[list[Path]], None] | None, str, str]] = [
    *((number, None, "several scans of one patient", "noted") for number in TWO_SCANS),
    *((number, None, "more than 4 readings cannot be told apart", "excluded") for number in AMBIGUOUS),
    *((number, repeat_a_position, "duplicated position", "repaired") for number in REPEATED),
    ("0123", half_a_step, "non-uniform spacing", "repaired"),
    ("0267", half_a_step, "non-uniform spacing", "repaired"),
    ("0514", gap_of_38_mm, "missing slice", "repaired"),
    ("0672", double_step, "missing slice", "repaired"),
    ("0672", None, "spacing differs from SliceThickness", "noted"),
    ("0510", None, "rating out of range", "left out"),
    ("0332", None, "uncertain rating scale", "noted"),
    ("0013", None, "exclusion contours", "noted"),
    ("0001", padding, "padding below -1024 HU", "noted"),
    ("0001", None, "values above 3071 HU", "noted"),
    ("0003", tilt, "tilt", "noted"),
    ("0005", localizer, "localizer", "noted"),
    ("0007", mixed, "mixed orientation", "refused"),
    ("0008", wrong_modality, "wrong modality", "refused"),
    ("0011", unknown_rescale, "unknown rescale", "refused"),
    ("0238", None, "no such patient", "noted"),
    ("0585", None, "no such patient", "noted"),
]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree, store = tmp_path_factory.mktemp("faults") / "dicom", tmp_path_factory.mktemp("faults") / "store"
    database = LidcDatabase()
    patients = sorted({lidc(number) for number, *_ in CASES})
    broken: set[str] = set()
    for scan in (scan for scan in database.scans if scan.patient_id in patients):
        nodules = database.nodules(scan)
        few = sorted(nodules, key=lambda nodule: -len(nodule.readings))[:1]
        folder = make_series(scan, tuple(few), tree, margin_mm=2)
        for number, damage, *_ in CASES:
            if lidc(number) == scan.patient_id and damage is not None:
                damage(sorted(folder.iterdir()))
                broken.add(number)
    assert broken == {number for number, damage, *_ in CASES if damage is not None}
    assert main(["ingest", str(tree), str(store), "--patients", *patients]) == 0
    return store


def report(store: Path) -> list[dict[str, str]]:
    with (store / "report.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("number", "damage", "name", "action"), CASES)
def test_the_report_names_the_fault_of_each_patient_and_what_was_done(ingested, number, damage, name, action):
    lines = [line for line in report(ingested) if line["patient_id"] == lidc(number) and line["name"] == name]
    assert lines, f"no line {name!r}"
    assert {line["action"] for line in lines} == {action}
    assert all(line["detail"] for line in lines)


def test_both_scans_of_a_patient_are_told_apart_by_their_series(ingested):
    for number in TWO_SCANS:
        found = [line["series_uid"] for line in report(ingested) if line["patient_id"] == lidc(number)]
        assert len(set(found)) == 2


def test_faults_of_some_series_stop_no_other(ingested):
    store = NoduleStore(ingested)
    table = store.table.set_index("patient_id")
    assert table.fault[lidc("0007")].startswith("not one regular CT volume (mixed orientation")
    assert (table.fault[[lidc("0008")]].str.contains("wrong modality")).all()
    usable = (store.table.fault == "").to_numpy()
    assert usable.sum() >= 15
    repaired = store.table[usable & store.table.repairs.str.contains("duplicated position")]
    assert set(repaired.patient_id) >= {lidc("0085"), lidc("0146")}
    for row in repaired.index:
        assert np.median(store.hu(row)[store.agreement(row) >= 2]) > -800
