from pathlib import Path

import numpy as np
import pytest

from ctxai.ct.geometry import GeometryRules
from ctxai.ct.search import find_series
from ctxai.ct.slice_sorting import stack
from ctxai.errors import InputError
from ctxai.lidc.database import RATINGS, LidcDatabase
from ctxai.lidc.xml import nodules_from_xml, read_xml

from synthetic_ct import ct_grid, write_ct

GRID = ct_grid((6, 20, 20), (1.0, 1.0, 2.0))


def annotation(series_uid: str, rois: str, ratings: str = "".join(f"<{name}>3</{name}>" for name in RATINGS)) -> str:
    return (
        '<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<SeriesInstanceUid>{series_uid}</SeriesInstanceUid></ResponseHeader><readingSession><unblindedReadNodule>"
        f"<noduleID>1</noduleID><characteristics>{ratings}</characteristics>{rois}"
        "</unblindedReadNodule></readingSession></LidcReadMessage>"
    )


def roi(z: float, sop_uid: str = "", inclusion: str = "TRUE") -> str:
    edge = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in [(4, 6), (9, 6), (9, 12), (4, 12)]
    )
    return (
        f"<roi><imageZposition>{z} </imageZposition><imageSOP_UID>{sop_uid}</imageSOP_UID>"
        f"<inclusion>{inclusion}</inclusion>{edge}</roi>"
    )


def ct(folder: Path):
    write_ct(folder, np.zeros(GRID.shape, np.int16), GRID)
    (headers,) = find_series(folder).values()
    return stack(headers, GeometryRules())


def test_the_xml_and_the_database_give_the_same_contours_and_ratings(lidc_0001):
    (xml,) = lidc_0001.rglob("*.xml")
    found = read_xml(xml)
    (headers,) = find_series(lidc_0001).values()
    (from_xml,) = nodules_from_xml(found, stack(headers, GeometryRules()).headers, "LIDC-IDRI-0001")
    database = LidcDatabase()
    (expected,) = database.nodules(database.by_series[found.series_uid])

    def content(nodule):
        return sorted(
            (
                [reading.ratings[name] for name in RATINGS],
                sorted((c.z_mm, c.inclusion, c.points.tolist()) for c in reading.contours),
            )
            for reading in nodule.readings
        )

    assert content(from_xml) == content(expected)
    assert from_xml.nodule_id == expected.nodule_id
    assert from_xml.diameter_mm == pytest.approx(expected.diameter_mm)


def test_an_outline_belongs_to_the_image_that_it_names_and_else_to_its_position(tmp_path):
    series = ct(tmp_path)
    third = series.headers[2]
    path = tmp_path / "a.xml"
    path.write_text(annotation(third.series_uid, roi(900, third.sop_uid) + roi(series.headers[3].position[2], "1.2.9")))
    (nodule,) = nodules_from_xml(read_xml(path), series.headers, "P")
    assert [contour.z_mm for contour in nodule.readings[0].contours] == [h.position[2] for h in series.headers[2:4]]
    np.testing.assert_array_equal(nodule.readings[0].contours[0].points[1], [6, 9])  # row, column


def test_an_outline_on_no_slice_is_refused(tmp_path):
    series = ct(tmp_path)
    path = tmp_path / "a.xml"
    path.write_text(annotation(series.headers[0].series_uid, roi(900)))
    with pytest.raises(InputError, match="an outline at z 900 mm lies on none of its slices"):
        nodules_from_xml(read_xml(path), series.headers, "P")


def test_nodules_below_3_mm_have_no_ratings_and_are_passed_over(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(annotation("1.2", roi(0), ratings=""))
    assert read_xml(path).readings == ()


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><a>&c;</a>'
THIEF = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "EntitiesForbidden"),
        (THIEF, "EntitiesForbidden"),
        ("<a>", "ParseError"),
        ("<a/>", "LidcReadMessage"),
        (annotation("1.2", roi(0), "<subtlety>3</subtlety>"), "<internalStructure> is missing"),
        (annotation("1.2", "<roi><imageZposition>1</imageZposition></roi>"), "an outline without a point"),
    ],
)
def test_damaged_or_hostile_xml_is_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_xml(path)
