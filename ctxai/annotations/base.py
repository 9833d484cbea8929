"""Protocol of annotation sources, and the nodules and CT descriptions that pass through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from ctxai.ct.header import SliceHeader
from ctxai.ct.mask import VoxelMask
from ctxai.lidc.database import Nodule
from ctxai.lidc.quality import QualityIssue
from ctxai.registry import Registry

#: Every annotation source by name: the modules of this package, and the entry points of other distributions.
SOURCES: Registry[type[AnnotationSource]] = Registry(
    "an annotation source", "ctxai.annotations", "ctxai.annotation_sources"
)


@dataclass(frozen=True, eq=False)
class CTDescription:
    """One CT as annotation sources see it: identity and slice geometry, no pixels.

    Attributes:
        series_uid: Series Instance UID, or what stands for it in other formats.
        patient: public id or pseudonym of the patient.
        owner: PatientID, or the Study Instance UID where there is none: groups series by patient under any pseudonym.
        source_label: folder or archive, for messages.
        headers: used slices in the order of the volume; empty for formats other than DICOM.
    """

    series_uid: str
    patient: str
    owner: str
    source_label: str = ""
    headers: Sequence[SliceHeader] = ()

    @classmethod
    def of_slices(cls, headers: Sequence[SliceHeader], patient: str) -> CTDescription:
        """Description of a DICOM series.

        Args:
            headers: its slices, in the order of the volume.
            patient: public id or pseudonym.
        """
        first = headers[0]
        return cls(first.series_uid, patient, first.patient_id or first.study_uid, first.source_label, headers)


@dataclass(frozen=True, eq=False)
class AnnotatedNodule:
    """One marked nodule.

    Attributes:
        nodule_id: name in tables and files; letters, digits and ``._-``.
        centre_lps: centre, LPS mm; None where ``outlines`` decide it on the CT's slices.
        series_uid: Series Instance UID of its CT; None where the source does not tell.
        diameter_mm: diameter; None where the source does not tell.
        outlines: readers' outlines and ratings.
        mask: voxels of the nodule; its centre is the nodule's.
        frame_of_reference_uid: of its coordinates; empty where the source does not tell.
        patient_id: PatientID that the source names; empty where it does not.
        columns: further columns of the source as text, by name in small letters.
        origin: file and line, for messages.
    """

    nodule_id: str
    centre_lps: np.ndarray | None
    series_uid: str | None = None
    diameter_mm: float | None = None
    outlines: Nodule | None = None
    mask: VoxelMask | None = None
    frame_of_reference_uid: str = ""
    patient_id: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True, eq=False)
class Annotations:
    """Nodules of some CTs, and annotations that could not be used.

    Attributes:
        nodules: in the order of the source.
        issues: annotations left out, with the reason.
    """

    nodules: Sequence[AnnotatedNodule]
    issues: Sequence[QualityIssue] = ()


class AnnotationSource(ABC):
    """Nodules in one file, folder or database.

    A subclass registers itself by its ``name``. Its constructor reads the file once and raises InputError, which names
    the file, for anything that is not what it should be.

    Attributes:
        name: unique name, as in ``--points NAME:PATH``.
        description: one line for tables and help texts.
        outlined: nodules come as readers' outlines, which need the slices of their CT.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    outlined: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            SOURCES.register(cls.name, cls)

    @classmethod
    @abstractmethod
    def recognises(cls, path: Path) -> bool:
        """Whether ``path`` looks like this kind of file; a look at its name and first bytes, without errors."""

    @abstractmethod
    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Nodules that may lie in ``cts``.

        Nodules that name another series may be among them: :func:`~ctxai.annotations.matching.annotate` sorts them out.

        Raises:
            InputError: when the annotations cannot be read.
        """
