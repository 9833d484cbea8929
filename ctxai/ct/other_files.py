"""Kinds of files beside CT images in a folder, for messages that tell what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pydicom.uid import UID

from ctxai.ct.dicom_errors import PARSE_ERRORS, open_dataset, without_warnings

#: First bytes of files that may hold a CT in another form, and what to do with them.
_FORMS = {
    b"PK\3\4": "zip archive (give the archive itself)",
    b"\x1f\x8b": "gzip file (give it itself if it is a volume or a tar.gz of a CT)",
    b"NRRD": "NRRD volume (give the file itself)",
    b"ObjectType": "MetaImage (give the file itself)",
    b"NDims": "MetaImage (give the file itself)",
}
_NIFTI_AT, _NIFTI = 344, {b"n+1\0", b"ni1\0"}


def kind_of_file(path: Path) -> str:
    """Kind of a file that is no CT image: the name of its SOP class, or of another format."""
    try:
        with path.open("rb") as file:
            start = file.read(352)
    except OSError as error:
        return f"unreadable file ({error.strerror})"
    for first, form in _FORMS.items():
        if start.startswith(first):
            return form
    if start[_NIFTI_AT : _NIFTI_AT + 4] in _NIFTI:
        return "NIfTI volume (give the file itself)"
    try:
        with without_warnings():
            dataset = open_dataset(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
            uid = UID(str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
    except PARSE_ERRORS:
        return "file that is no DICOM"
    if not uid:
        return "DICOM file without SOPClassUID"
    return uid.name if uid.name != str(uid) else "DICOM object of a private kind"


def summary(paths: Iterable[Path]) -> str:
    """Files by kind, the most frequent first: ``12 MR Image Storage, 1 file that is no DICOM``."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(map(kind_of_file, paths)).most_common())
