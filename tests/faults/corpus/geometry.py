"""Series whose images do not make one regular volume of one patient."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom

from faults.inputs import GRID, Inputs
from faults.promises import READ, REPAIRED, Faults, image, whole
from synthetic_ct import write_ct

FAULTS = Faults()


@FAULTS.case(**image("missing slice"))
def missing_slice(i: Inputs) -> None:
    i.images[5].unlink()


@FAULTS.case(ingest=(REPAIRED, "copied images"), explain=(READ, ""))
def duplicated_slice(i: Inputs) -> None:
    shutil.copy(i.images[5], i.ct / "099.dcm")


@FAULTS.case(**whole("single slice"))
def single_slice(i: Inputs) -> None:
    for path in i.images[1:]:
        path.unlink()


@FAULTS.case(ingest=(REPAIRED, "localizer"), explain=(READ, ""))
def localizer(i: Inputs) -> None:
    shutil.copy(i.images[0], i.ct / "099.dcm")
    i.edit(12, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], ImageOrientationPatient=["1", "0", "0", "0", "0", "-1"])


@FAULTS.case(**whole("no CT slice besides localizers"))
def nothing_but_localizers(i: Inputs) -> None:
    i.edit(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


@FAULTS.case(ingest=(REPAIRED, "tilt"), explain=(READ, ""))
def gantry_tilt(i: Inputs) -> None:
    for number in range(12):
        x, y, z = pydicom.dcmread(i.images[number]).ImagePositionPatient
        i.edit(number, ImagePositionPatient=[str(x), f"{y + 0.2 * (z + 120):.6f}", str(z)])


@FAULTS.case(**whole("mixed orientation"))
def mixed_orientation(i: Inputs) -> None:
    i.edit(5, ImageOrientationPatient=["0", "1", "0", "1", "0", "0"])


@FAULTS.case(**whole("mixed size"))
def mixed_pixel_spacing(i: Inputs) -> None:
    i.edit(5, PixelSpacing=["0.5", "0.5"])


@FAULTS.case(**whole("shifted slices"))
def shifted_slice(i: Inputs) -> None:
    x, y, z = pydicom.dcmread(i.images[5]).ImagePositionPatient
    i.edit(5, ImagePositionPatient=[str(x + 9), str(y), str(z)])


@FAULTS.case(**whole("wrong modality"))
def images_that_say_mr(i: Inputs) -> None:
    i.edit(Modality="MR")


@FAULTS.case(**whole("mixed patients"))
def one_series_uid_for_two_patients(i: Inputs) -> None:
    i.edit(5, PatientID="SOMEBODY ELSE")


@FAULTS.case(**whole("expected one of the 2 series found"))
def two_patients_in_one_folder(i: Inputs) -> None:
    hu = np.zeros(GRID.shape, np.int16)
    write_ct(
        i.ct / "other", hu, GRID, seed="other", attributes={"PatientID": "SOMEBODY ELSE", "StudyInstanceUID": "1.2"}
    )
