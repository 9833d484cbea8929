"""Fuzzed readers of where nodules are: points with and without labels, Slicer's markups, LIDC's XML."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import numpy as np

from ctxai.annotations import CTDescription, read_points
from ctxai.annotations.points import Points
from ctxai.ct.slice_sorting import Stack, stack
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.ingestion.plan import plan_annotated
from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import RATINGS
from ctxai.lidc.xml import nodules_from_xml, read_xml

from faults.fuzz_ct import ALL_REPAIRS, sound_images


@functools.cache
def _sound_stack() -> Stack:
    return stack(sound_images(), ALL_REPAIRS)


def annotation(data: bytes, folder: Path) -> None:
    """LIDC's XML: its outlines on a series, and the readers' masks."""
    path = folder / "annotation.xml"
    path.write_bytes(data)
    for nodule in nodules_from_xml(read_xml(path), _sound_stack().headers, "P"):
        reader_masks(nodule, np.array([header.position[2] for header in _sound_stack().headers]))


def annotations() -> list[bytes]:
    """Two readers of one nodule."""
    first = _sound_stack().headers[1]
    edge = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in [(1, 1), (6, 1), (3, 4)])
    ratings = "".join(f"<{name}>3</{name}>" for name in RATINGS)
    session = (
        f"<readingSession><unblindedReadNodule><noduleID>1</noduleID><characteristics>{ratings}</characteristics>"
        f"<roi><imageZposition>{first.position[2]}</imageZposition><imageSOP_UID>{first.sop_uid}</imageSOP_UID>"
        f"<inclusion>TRUE</inclusion>{edge}</roi></unblindedReadNodule></readingSession>"
    )
    head = (
        '<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader><SeriesInstanceUid>'
        f"{first.series_uid}</SeriesInstanceUid></ResponseHeader>"
    )
    return [f"{head}{session * count}</LidcReadMessage>".encode() for count in (1, 2)]


@functools.cache
def _names() -> Pseudonymizer:
    return Pseudonymizer(Path(tempfile.mkdtemp(prefix="ctxai-fuzz-")) / "key")


def points(data: bytes, folder: Path) -> None:
    """A user's points as CSV."""
    (folder / "points.csv").write_bytes(data)
    read_points(folder / "points.csv")


def labels(data: bytes, folder: Path) -> None:
    """Points with labels, as ingestion takes them."""
    (folder / "points.csv").write_bytes(data)
    header = sound_images()[0]
    cts = [CTDescription.of_slices([header], _names()(header))]
    plan_annotated({header.series_uid: [header]}, cts, Points(folder / "points.csv"))


def tables() -> list[bytes]:
    """Points with everything that may stand beside them."""
    return [
        b"x,y,z,nodule_id,series_uid,diameter_mm\n1,-2,3.5,left-1,,8\n4,5,6,,,\n",
        b'x,y,z,label_malignancy,malignancy\n1,2,3,1,5\n"4",5,6,0,\n',
    ]


def markups(data: bytes, folder: Path) -> None:
    """A user's points as 3D Slicer saves them."""
    (folder / "points.mrk.json").write_bytes(data)
    read_points(folder / "points.mrk.json")


def saved_markups() -> list[bytes]:
    """Two points."""
    control = [{"id": "1", "label": "F-1", "position": [1, 2, 3]}, {"position": [-4.5, 5e1, 6]}]
    markup = {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": control}
    return [json.dumps({"markups": [markup]}).encode()]
