import json

import numpy as np
import pytest

from ctxai.annotations import read_points
from ctxai.errors import InputError


def written(tmp_path, text, name="points.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_points_come_with_and_without_what_is_optional(tmp_path):
    text = "x, y, z, nodule_id, series_uid, diameter_mm\n1,-2,3.5,left-1,1.2.3,8\n4,5,6,,,\n"
    first, second = read_points(written(tmp_path, text))
    np.testing.assert_array_equal(first.centre_lps, [1, -2, 3.5])
    assert (first.nodule_id, first.series_uid, first.diameter_mm) == ("left-1", "1.2.3", 8.0)
    assert (second.nodule_id, second.series_uid, second.diameter_mm) == ("nodule-002", None, None)


@pytest.mark.parametrize(
    "text", ["\ufeffx,y,z\n1,2,3\n", "x,y,z\r\n\r\n1,2,3\r\n", "X,Y,Z,,\n1,2,3,,,\n", '"x",y,z\n1,2,"3"']
)
def test_what_spreadsheets_make_of_a_table_changes_nothing(tmp_path, text):
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode())
    (point,) = read_points(path)
    np.testing.assert_array_equal(point.centre_lps, [1, 2, 3])


@pytest.mark.parametrize(("system", "sign"), [("RAS", -1), ("LPS", 1)])
def test_slicer_markups_are_read_in_either_coordinate_system(tmp_path, system, sign):
    markup = {"coordinateSystem": system, "controlPoints": [{"position": [10, 20, 30]}, {"position": [1, 2, 3]}]}
    points = read_points(written(tmp_path, json.dumps({"markups": [markup]}), "F.mrk.json"))
    np.testing.assert_array_equal(points[0].centre_lps, [10 * sign, 20 * sign, 30])
    assert [point.nodule_id for point in points] == ["nodule-001", "nodule-002"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a CSV file"),
        ("x,y,z\n", "holds no point"),
        ("a,b\n1,2\n", "no column x, y, z"),
        ("x,y,z\n1,2,left\n", "line 2: could not convert"),
        ("x,y,z\n1,2,3\n1,2,inf\n", "line 3"),
        ("x,y,z,diameter_mm\n1,2,3,-4\n", "positive diameter"),
        ("x,y,z,nodule_id\n1,2,3,../../etc\n", "letters, digits"),
        ("x,y,z,nodule_id\n1,2,3,a\n4,5,6,a\n", "more than once"),
        ("x,y,z\n1,2,3\n\n1,2,3,4\n", "line 4: 4 values for 3 columns"),
        ('x,y,z\n1,2,"3\n', "not a CSV file"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_says_where(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as raised:
        read_points(written(tmp_path, text))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["[]", "{}", '{"markups": [{"controlPoints": [{"position": ["a", 1, 2]}]}]}'])
def test_a_file_that_is_no_markups_file_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="markups file"):
        read_points(written(tmp_path, text, "x.json"))


def test_points_of_a_semicolon_sheet_with_decimal_commas_are_read(tmp_path):
    (point,) = read_points(written(tmp_path, "\ufeffX;Y;Z;Nodule_ID;Diameter_mm\n57,2;84,1;-115,9;left;33\n;;;;\n"))
    np.testing.assert_array_equal(point.centre_lps, [57.2, 84.1, -115.9])
    assert (point.nodule_id, point.diameter_mm) == ("left", 33.0)


@pytest.mark.parametrize(("columns", "sign"), [("label,l,p,s,defined", 1), ("label,r,a,s,defined", -1)])
def test_the_table_that_slicer_exports_is_read_in_its_own_system(tmp_path, columns, sign):
    (point,) = read_points(written(tmp_path, f"{columns}\nF-1,10,20,30,1\n"))
    np.testing.assert_array_equal(point.centre_lps, [10 * sign, 20 * sign, 30])


def test_control_points_that_were_not_placed_are_left_out(tmp_path):
    controls = [
        {"position": [1, 2, 3], "positionStatus": "defined"},
        {"position": [0, 0, 0], "positionStatus": "undefined"},
    ]
    (point,) = read_points(written(tmp_path, json.dumps({"markups": [{"controlPoints": controls}]}), "F.mrk.json"))
    assert point.centre_lps.tolist() == [1, 2, 3]


def test_markups_in_an_unknown_coordinate_system_are_refused(tmp_path):
    markup = {"coordinateSystem": "XYZ", "controlPoints": [{"position": [1, 2, 3]}]}
    with pytest.raises(InputError, match="LPS or RAS"):
        read_points(written(tmp_path, json.dumps({"markups": [markup]}), "F.mrk.json"))


def test_decimal_commas_between_commas_are_never_taken_for_columns(tmp_path):
    with pytest.raises(InputError, match="line 2: 6 values for 3 columns; write decimal points"):
        read_points(written(tmp_path, "x,y,z\n57,2,84,1,-115,9\n"))


def test_what_was_found_instead_of_the_columns_is_said(tmp_path):
    with pytest.raises(InputError, match=r"no column x, y, z; .*; its first line has coordx, coordy, coordz"):
        read_points(written(tmp_path, "coordX,coordY,coordZ\n1,2,3\n"))


def test_values_in_place_of_a_heading_are_told_and_not_quoted(tmp_path):
    with pytest.raises(InputError, match=r"no column x, y, z; .*; its first line has values$"):
        read_points(written(tmp_path, "Jane Doe,57.2,84.1,-115.9\n"))


def test_a_column_that_is_nearly_one_is_told_and_not_read(tmp_path, caplog):
    (point,) = read_points(written(tmp_path, "x,y,z,diameter,comment\n1,2,3,8,gro\xdf\n"))
    assert point.diameter_mm is None
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "the column diameter is not read; did you mean diameter_mm?"
    ]
