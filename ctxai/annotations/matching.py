"""Annotation files opened by what they are, and their nodules assigned to CT series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctxai.annotations.base import SOURCES, AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.errors import InputError
from ctxai.lidc.quality import QualityIssue

#: Stands for the series of a nodule of a patient who is not here.
_ANOTHER = "of another patient"


@dataclass(frozen=True, eq=False)
class Assignment(Annotations):
    """Annotations whose every nodule has the UID of one of the series asked for.

    Attributes:
        elsewhere: nodules of other series.
    """

    elsewhere: Sequence[AnnotatedNodule] = ()

    def of(self, series_uid: str) -> list[AnnotatedNodule]:
        """Nodules of one series, in the order of the source."""
        return [nodule for nodule in self.nodules if nodule.series_uid == series_uid]


def open_annotations(path: Path | str) -> AnnotationSource:
    """Open an annotation file of any known kind.

    Args:
        path: file or folder; ``NAME:PATH`` names the kind, which is recognised otherwise. What no source recognises is
            read as a CSV of points.

    Raises:
        InputError: for an unknown kind, several possible ones, or a file that cannot be read.
    """
    name, colon, rest = str(path).partition(":")
    if colon and not Path(path).exists() and name in SOURCES.names():
        return SOURCES.get(name)(Path(rest))
    path = Path(path)
    kinds = [source for source in SOURCES if path.exists() and source.recognises(path)]
    if len(kinds) > 1:
        names = " or ".join(f"{kind.name}:{path}" for kind in kinds)
        raise InputError(f"{path}: may be several kinds of annotation; write {names}")
    return (kinds[0] if kinds else SOURCES.get("points"))(path)


def read_points(path: Path | str) -> list[AnnotatedNodule]:
    """Nodules of an annotation file that needs no CT to be read, such as a CSV of points or Slicer markups.

    Raises:
        InputError: as :func:`open_annotations`.
    """
    return list(open_annotations(path).nodules([]).nodules)


def annotate(source: AnnotationSource, cts: Sequence[CTDescription], total: int | None = None) -> Assignment:
    """Nodules of ``source``, each with the series that it belongs to.

    A nodule that names no series belongs to the only one in its frame of reference, or else to the only one.

    Args:
        source: where the nodules are marked.
        cts: the CTs asked for.
        total: number of all CTs that nodules may belong to, where ``cts`` are only a part of them.

    Raises:
        InputError: when a nodule that names no series may belong to several, or an annotation is damaged.
    """
    found = source.nodules(cts)
    found = replace(found, nodules=[_located(source, nodule, cts) for nodule in found.nodules])
    if found.nodules and all(nodule.series_uid == _ANOTHER for nodule in found.nodules):
        raise InputError(f"{source.path}: marks another patient than the CT; give the annotation of this patient")
    by_uid = {ct.series_uid: ct for ct in cts}
    total = len(cts) if total is None else total
    unnamed = next((nodule for nodule in found.nodules if nodule.series_uid is None), None)
    if unnamed is not None and total > 1:
        raise InputError(
            f"{source.path}: {unnamed.nodule_id} has no series_uid; expected one of the {total} series found"
        )
    assigned: list[AnnotatedNodule] = []
    elsewhere: list[AnnotatedNodule] = []
    for nodule in found.nodules:
        if nodule.series_uid is None and cts:
            nodule = replace(nodule, series_uid=cts[0].series_uid)
        (assigned if nodule.series_uid in by_uid else elsewhere).append(nodule)
    issues = [
        QualityIssue("", nodule.series_uid or "", nodule.nodule_id, "series not found", "not in the tree", "left out")
        for nodule in elsewhere
    ]
    return Assignment(assigned, [*found.issues, *issues], elsewhere)


def _located(source: AnnotationSource, nodule: AnnotatedNodule, cts: Sequence[CTDescription]) -> AnnotatedNodule:
    """The nodule with its series, where its frame of reference tells, and no other patient's."""
    known = [ct for ct in cts if ct.headers]
    own = [ct for ct in known if nodule.patient_id and nodule.patient_id in (ct.owner, ct.patient)]
    if nodule.patient_id and known and not own:
        return replace(nodule, series_uid=_ANOTHER)
    frame = nodule.frame_of_reference_uid
    if not frame and len(own) == 1 and nodule.series_uid is None:
        return replace(nodule, series_uid=own[0].series_uid)
    if not frame or not known or nodule.series_uid in {ct.series_uid for ct in cts}:
        return nodule
    same = [ct for ct in known if ct.headers[0].frame_of_reference_uid == frame]
    if not same and any(ct.headers[0].frame_of_reference_uid for ct in known):
        raise InputError(
            f"{source.path}: {nodule.nodule_id} is marked in another frame of reference than the CT; "
            "register it to this CT, or give the CT that it was marked in"
        )
    return replace(nodule, series_uid=same[0].series_uid) if len(same) == 1 and nodule.series_uid is None else nodule


def require_some(source: AnnotationSource, found: Assignment, cts: Sequence[CTDescription]) -> None:
    """Refuse annotations of which none belongs to a series that is there.

    Raises:
        InputError: with a series that is named and one that is there.
    """
    if found.nodules or not cts:
        return
    if not found.elsewhere:
        raise InputError(f"{source.path}: marks no nodule in the {len(cts)} CT series")
    first = found.elsewhere[0]
    raise InputError(
        f"{source.path}: none of its {len(found.elsewhere)} point(s) names a series that is here: {first.nodule_id} "
        f"names the series {first.series_uid}, expected one of the {len(cts)} series found, such as "
        f"{cts[0].series_uid}; correct the column series_uid, or leave it out"
    )
