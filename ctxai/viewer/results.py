"""Files of a result folder of ``ctxai explain`` for a viewer: DICOM objects, and the CT that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import EncapsulatedPDFStorage, ParametricMapStorage, SegmentationStorage

from ctxai.ct.dicom_errors import PARSE_ERRORS
from ctxai.errors import InputError, kind_of
from ctxai.generations import dicom_objects, read_record, series_folders
from ctxai.results_folder import DICOM, DICOM_CT, maps_of
from ctxai.suggestions import did_you_mean

_HEADER = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "ContentLabel"]
#: What each overlay is, by SOP class and content label.
_OVERLAYS = {
    "bands": (SegmentationStorage, "EVIDENCE_BANDS"),
    "map": (ParametricMapStorage, "EVIDENCE_FOR"),
    "nodules": (SegmentationStorage, "NODULES"),
    "report": (EncapsulatedPDFStorage, None),
}


@dataclass(frozen=True)
class WrittenObject:
    """A DICOM object of a result folder.

    Attributes:
        path: its file.
        content_label: its ContentLabel (0070,0080); empty for kinds that have none.
    """

    path: Path
    sop_class_uid: str
    study_uid: str
    series_uid: str
    content_label: str


@dataclass(frozen=True)
class ReviewedSeries:
    """One explained CT series.

    Attributes:
        key: name of its folder among the results.
        ct: where the images are: the folder or zip that was explained, as it was named then; the deidentified ones that
            were written with the results; None where that is not recorded.
        objects: what was written for it.
        maps: file names of its maps, ``<method>_<target>``, in the order in which they were asked for.
    """

    key: str
    ct: Path | None
    objects: tuple[WrittenObject, ...]
    maps: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """The objects' files."""
        return [one.path for one in self.objects]

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.objects[0].study_uid

    def overlay(self, wanted: str) -> WrittenObject | None:
        """The object to show first.

        Args:
            wanted: ``bands``, ``map``, ``nodules`` or ``report``; of bands and maps those of the first method and
                target that were asked for. Else a file's name without ``.dcm``.

        Returns:
            The object; where there is none of that kind, one of the next kind; None where nothing can be laid over.

        Raises:
            InputError: for a file's name that is not there.
        """
        if wanted not in _OVERLAYS:
            found = next((one for one in self.objects if one.path.stem == wanted), None)
            if found is None:
                known = [*_OVERLAYS, *(one.path.stem for one in self.objects)]
                meant = did_you_mean(wanted, known)
                raise InputError(f"--overlay {wanted}: expected one of {', '.join(known)}{meant}")
            return found
        for kind in [wanted, *_OVERLAYS]:
            sop_class, label = _OVERLAYS[kind]
            of_class = [one for one in self.objects if one.sop_class_uid == sop_class]
            fitting = [one for one in of_class if label is None or one.content_label == label]
            if fitting:
                return min(fitting, key=lambda one: (self._place_of(one), one.path))
        return None

    def _place_of(self, one: WrittenObject) -> int:
        """Place of the map that an object shows; behind all for other objects."""
        shown = (place for place, name in enumerate(self.maps) if one.path.stem.startswith(f"{name}_"))
        return next(shown, len(self.maps))


def reviewed_series(out_dir: Path, keys: Sequence[str] | None = None) -> tuple[list[ReviewedSeries], int]:
    """The explained series of a result folder that have DICOM objects.

    Args:
        out_dir: results of `ctxai explain`.
        keys: names of series folders; the first one that has objects, when not given.

    Returns:
        The series chosen, and how many there are in all.

    Raises:
        InputError: when there is none, or one of ``keys`` is not there.
    """
    folders = {folder.name: folder for folder in series_folders(out_dir)}
    with_objects = [key for key, folder in folders.items() if dicom_objects(folder)]
    if not with_objects:
        raise InputError(
            f"{out_dir}: no explained series with DICOM objects in it; give a result folder of "
            "`ctxai explain --formats pmap,seg,…`"
        )
    for key in keys or ():
        if key not in with_objects:
            raise InputError(f"--series {key}: no such series in {out_dir}; there is {', '.join(with_objects[:5])}")
    return [_read(folders[key]) for key in (keys or with_objects[:1])], len(with_objects)


def _read(folder: Path) -> ReviewedSeries:
    record = read_record(folder)
    clean = folder / DICOM / DICOM_CT
    objects = tuple(_object(path) for path in dicom_objects(folder) if path.parent != clean)
    ct = clean if clean.is_dir() else Path(record.ct) if record.ct else None
    maps = tuple(maps_of(record.rows[0])) if record.rows else ()
    return ReviewedSeries(folder.name, ct, objects, maps)


def _object(path: Path) -> WrittenObject:
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER)
        return WrittenObject(
            path,
            str(dataset.SOPClassUID),
            str(dataset.StudyInstanceUID),
            str(dataset.SeriesInstanceUID),
            str(dataset.get("ContentLabel") or ""),
        )
    except (InvalidDicomError, *PARSE_ERRORS) as error:
        raise InputError(f"{path}: damaged DICOM object ({kind_of(error)}); run `ctxai explain` again") from None
