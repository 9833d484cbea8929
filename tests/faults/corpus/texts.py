"""Hostile and foreign texts in the headers."""

from __future__ import annotations

from faults.inputs import Inputs
from faults.promises import READ, REFUSED, Faults

FAULTS = Faults()
TEXTS = (
    "PatientName",
    "PatientID",
    "Manufacturer",
    "StudyID",
    "AccessionNumber",
    "SeriesDescription",
    "StudyDate",
)
HOSTILE = {
    "path": "../../x",
    "nul": "1.2\0.3",
    "long": "1." * 5000 + "1",
    "script": "<script>alert(1)</script>",
    "escape": "\x1b]0;x\x07\x1b[2J",
    "formula": "=cmd|'/c calc'!A0",
}


def _hostile_uid(kind: str) -> None:
    def damage(i: Inputs) -> None:
        i.edit(SeriesInstanceUID=HOSTILE[kind])

    damage.__name__ = f"series_uid_of_{kind}"
    FAULTS.case(ingest=(REFUSED, "no DICOM CT image"), explain=(REFUSED, "no DICOM CT image"))(damage)


def _hostile_text(kind: str) -> None:
    def damage(i: Inputs) -> None:
        i.edit(**dict.fromkeys(TEXTS, HOSTILE[kind]))
        i.options = ["--formats", "nifti,seg,sr"]

    damage.__name__ = f"every_text_of_{kind}"
    FAULTS.case(explain=(READ, ""))(damage)


for _kind in HOSTILE:
    _hostile_uid(_kind)
for _kind in ("path", "long", "script", "escape"):
    _hostile_text(_kind)


@FAULTS.case(ingest=(READ, ""), explain=(READ, ""))
def names_in_every_script(i: Inputs) -> None:
    i.edit(SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎=Müller^Ärzte", Manufacturer="Ж☃")


@FAULTS.case(explain=(REFUSED, "FrameOfReferenceUID"))
def frame_of_reference_that_is_no_uid(i: Inputs) -> None:
    i.edit(FrameOfReferenceUID="../../x")
    i.options = ["--formats", "seg"]


@FAULTS.case(explain=(READ, ""))
def character_set_that_does_not_exist(i: Inputs) -> None:
    i.edit(SpecificCharacterSet="ISO_IR 999")
