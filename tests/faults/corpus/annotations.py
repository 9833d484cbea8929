"""LIDC's XML: hostile documents and outlines that fit no image."""

from __future__ import annotations

import pydicom

from ctxai.lidc.database import RATINGS

from faults.inputs import Inputs
from faults.promises import REFUSED, Faults

FAULTS = Faults()


def _xml(i: Inputs, text: str) -> None:
    (i.folder / "annotation.xml").write_text(text)
    i.options = ["--xml", str(i.folder / "annotation.xml")]


def _annotation(i: Inputs, edge: str) -> str:
    first = pydicom.dcmread(i.images[5])
    ratings = "".join(f"<{name}>3</{name}>" for name in RATINGS)
    return (
        '<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader><SeriesInstanceUid>'
        f"{first.SeriesInstanceUID}</SeriesInstanceUid></ResponseHeader><readingSession><unblindedReadNodule>"
        f"<noduleID>1</noduleID><characteristics>{ratings}</characteristics><roi><imageZposition>"
        f"{first.ImagePositionPatient[2]}</imageZposition><imageSOP_UID>{first.SOPInstanceUID}</imageSOP_UID>"
        f"<inclusion>TRUE</inclusion>{edge}</roi></unblindedReadNodule></readingSession></LidcReadMessage>"
    )


def _edge(*points: tuple[int, int]) -> str:
    return "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)


@FAULTS.case(ingest=(REFUSED, "EntitiesForbidden"))
def xml_of_a_billion_laughs(i: Inputs) -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    _xml(i, f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "lol">{entities}]><a>&l9;</a>')


@FAULTS.case(ingest=(REFUSED, "EntitiesForbidden"))
def xml_that_names_a_file(i: Inputs) -> None:
    _xml(i, '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>')


@FAULTS.case(ingest=(REFUSED, "ParseError"))
def xml_that_ends_early(i: Inputs) -> None:
    _xml(i, "<LidcReadMessage>")


@FAULTS.case(alone=True, ingest=(REFUSED, "lies outside"))
def outline_as_wide_as_two_thousand_million_pixels(i: Inputs) -> None:
    _xml(i, _annotation(i, _edge((2, 2), (2**31 - 9, 2), (2**31 - 9, 2**31 - 9))))


@FAULTS.case(ingest=(REFUSED, "lies outside"))
def outline_beyond_the_image(i: Inputs) -> None:
    _xml(i, _annotation(i, _edge((-7, -7), (60, 2), (60, 60))))


@FAULTS.case(ingest=(REFUSED, "OverflowError"))
def outline_of_numbers_without_end(i: Inputs) -> None:
    _xml(i, _annotation(i, _edge((10**30, 2), (3, 4))))
