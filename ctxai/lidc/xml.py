"""LIDC's XML annotations of one scan, for scans that are in no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from ctxai.ct.header import SliceHeader
from ctxai.errors import InputError
from ctxai.lidc.database import MAX_READERS, RATINGS, Contour, Nodule, Reading, Scan, cluster

_NAMESPACE = {"": "http://www.nih.gov"}
#: How far an outline's z may be from the slice that it belongs to.
_SAME_SLICE_MM = 0.05


@dataclass(frozen=True, eq=False)
class XmlContour:
    """One outline as the XML has it.

    Attributes:
        sop_uid: the image that it was drawn in; empty where the file does not say.
        z_mm: position of that image.
        points: pixel indices, int (point, [row, column]).
    """

    inclusion: bool
    sop_uid: str
    z_mm: float
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class XmlReading:
    """One radiologist's account of one nodule of at least 3 mm."""

    ratings: dict[str, int]
    contours: tuple[XmlContour, ...]


@dataclass(frozen=True, eq=False)
class XmlAnnotation:
    """One XML file: the series and its readings, in the file's order (session by session)."""

    series_uid: str
    readings: tuple[XmlReading, ...]


def read_xml(path: Path | str) -> XmlAnnotation:
    """Read the annotation of one scan; nodules below 3 mm and non-nodules, which have no ratings, are passed over.

    Raises:
        InputError: when the file is damaged, is no LIDC annotation of a CT, or tries what XML should not.
    """
    path = Path(path)
    try:
        root = parse(path).getroot()
        if root is None or not root.tag.endswith("LidcReadMessage"):
            raise InputError(
                f"{path}: no LIDC annotation of a CT: its root is {getattr(root, 'tag', None)!r}, not LidcReadMessage"
            )
        series_uid = _text(root, "ResponseHeader/SeriesInstanceUid")
        nodules = root.iterfind("readingSession/unblindedReadNodule", _NAMESPACE)
        readings = tuple(_reading(node) for node in nodules if _ratings(node) is not None)
    except (ParseError, DefusedXmlException, OSError, OverflowError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a readable LIDC annotation ({type(error).__name__}: {error})") from None
    return XmlAnnotation(series_uid, readings)


def nodules_from_xml(annotation: XmlAnnotation, headers: Sequence[SliceHeader], patient_id: str) -> tuple[Nodule, ...]:
    """The readings grouped by nodule, by the rule that the database's readings are grouped by.

    Outlines are matched to slices by SOP Instance UID, and by position where the series has no such image.

    Args:
        annotation: what the XML says.
        headers: the slices of its CT.
        patient_id: for the nodules' ids.

    Raises:
        InputError: when an outline lies on no slice of the series, or outside of its image.
    """
    first = headers[0]
    z_of_image = {header.sop_uid: float(header.position[2]) for header in headers}
    slice_z_mm = np.sort([header.position[2] for header in headers])
    thickness = first.slice_thickness_mm or float(np.median(np.diff(slice_z_mm)))
    scan = Scan(
        0,
        patient_id,
        first.study_uid,
        first.series_uid,
        thickness,
        first.pixel_spacing_mm[0],
        False,
        False,
        slice_z_mm,
    )
    readings = []
    for number, reading in enumerate(annotation.readings, start=1):
        contours = []
        for contour in reading.contours:
            z = z_of_image.get(contour.sop_uid, contour.z_mm)
            if not np.abs(slice_z_mm - z).min() <= _SAME_SLICE_MM:
                raise InputError(f"{first.source_label}: an outline at z {z:g} mm lies on none of its slices")
            if contour.points.min() < -1 or (contour.points.max(axis=0) > (first.rows, first.columns)).any():
                raise InputError(
                    f"{first.source_label}: an outline lies outside its {first.rows}x{first.columns} pixels"
                )
            contours.append(Contour(contour.inclusion, z, contour.points))
        readings.append(Reading(number, scan, reading.ratings, tuple(contours)))
    return tuple(
        Nodule(f"{patient_id}-{number:02d}", scan, group, ambiguous=len(group) > MAX_READERS)
        for number, group in enumerate(cluster(tuple(readings), thickness), start=1)
    )


def _reading(node: Element) -> XmlReading:
    return XmlReading(_ratings(node) or {}, tuple(_contour(roi) for roi in node.iterfind("roi", _NAMESPACE)))


def _ratings(node: Element) -> dict[str, int] | None:
    """The nine ratings; None for a nodule below 3 mm, which has none."""
    characteristics = node.find("characteristics", _NAMESPACE)
    if characteristics is None or len(characteristics) == 0:
        return None
    return {name: int(_text(characteristics, name)) for name in RATINGS}


def _contour(roi: Element) -> XmlContour:
    points = [(int(_text(e, "yCoord")), int(_text(e, "xCoord"))) for e in roi.iterfind("edgeMap", _NAMESPACE)]
    if not points:
        raise ValueError("an outline without a point")
    sop_uid = roi.findtext("imageSOP_UID", default="", namespaces=_NAMESPACE) or ""
    inclusion = _text(roi, "inclusion").upper() == "TRUE"
    return XmlContour(inclusion, sop_uid.strip(), float(_text(roi, "imageZposition")), np.array(points, dtype=np.int32))


def _text(node: Element, name: str) -> str:
    text = node.findtext(name, namespaces=_NAMESPACE)
    if text is None or not text.strip():
        raise ValueError(f"<{name}> is missing")
    return text.strip()
