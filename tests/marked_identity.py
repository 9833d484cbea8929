"""A CT whose every identifying attribute holds a mark that can be searched for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import config, dcmread
from pydicom.dataset import Dataset

from sphere import centred_grid, sphere_hu
from synthetic_ct import write_ct

MARK = "QZMARKED"
BIRTH_DATE = "19031107"

_TEXTS = (
    *("PatientName", "PatientID", "AccessionNumber", "StudyID", "IssuerOfPatientID", "OtherPatientIDs"),
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber"),
    *("ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy"),
    *("PhysiciansOfRecord", "RequestingPhysician", "PatientAddress", "PatientTelephoneNumbers", "EthnicGroup"),
    *("Occupation", "PatientComments", "AdditionalPatientHistory", "MedicalRecordLocator", "MilitaryRank"),
    *("StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments", "DerivationDescription"),
    *("RequestedProcedureDescription", "PerformedProcedureStepDescription", "PerformedProcedureStepID"),
    *("AdmissionID", "AdmittingDiagnosesDescription", "ClinicalTrialSubjectID", "ClinicalTrialSponsorName"),
    *("ContrastBolusAgent", "PlateID", "CassetteID", "GantryID", "DetectorID", "ReasonForStudy", "PatientBirthName"),
    *("PatientMotherBirthName", "CurrentPatientLocation", "RequestingService", "TextComments"),
)
_DATES = {
    "StudyDate": "20170313",
    "SeriesDate": "20170314",
    "AcquisitionDate": "20170315",
    "ContentDate": "20170316",
    "InstanceCreationDate": "20170317",
    "StudyTime": "110307",
    "PatientAge": "113Y",
}


def marked(keyword: str) -> str:
    """The mark of an attribute, short enough for every value representation."""
    return f"{MARK}{sum(map(ord, keyword)) % 9999:04d}"


def text_marks() -> set[str]:
    """Dates and ages that must not be told either, once a result is deidentified."""
    return {value for keyword, value in _DATES.items() if keyword != "StudyTime"}


def identity(number: int) -> dict[str, object]:
    """Marked attributes of patient ``number``: texts, dates, sequences; one value that DICOM does not allow."""
    attributes: dict[str, object] = {keyword: marked(keyword) for keyword in _TEXTS}
    attributes["PatientName"] = f"{marked('PatientName')}^{MARK}"
    attributes["PatientID"] = f"{MARK}-{number}"
    attributes["AccessionNumber"] = f"{MARK}\t longer than the sixteen characters of its value representation"
    attributes["PatientBirthDate"] = BIRTH_DATE
    attributes["PatientSex"] = "M"
    item = Dataset()
    for keyword in ("ScheduledProcedureStepDescription", "RequestedProcedureID", "ScheduledProcedureStepID"):
        setattr(item, keyword, marked(keyword))
    attributes["RequestAttributesSequence"] = [item]
    other = Dataset()
    other.PatientID = marked("other")
    attributes["OtherPatientIDsSequence"] = [other]
    return attributes | _DATES


def marked_ct(folder: Path, number: int, seed: str = "marked") -> str:
    """Write a small CT of patient ``number`` with the sphere; returns its Series Instance UID."""
    grid = centred_grid((24, 48, 50), (1.6, 1.8, 3.0))
    noise = np.random.default_rng(number).normal(0, 30, grid.shape).astype(np.int16)
    with config.disable_value_validation():
        files = write_ct(folder, sphere_hu(grid) + noise, grid, seed=f"{seed}-{number}", attributes=identity(number))
        for file in files:
            image = dcmread(file)
            block = image.private_block(0x0011, f"{MARK} PRIVATE", create=True)
            block.add_new(0x01, "LO", marked("private"))
            image.save_as(file)
    return str(dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
