"""Lists of points that cannot be read or lie nowhere."""

from __future__ import annotations

import os

import numpy as np

from faults.inputs import Inputs
from faults.promises import REFUSED, Faults

FAULTS = Faults()


def _points(name: str, content: str | bytes, words: str) -> None:
    def damage(i: Inputs) -> None:
        i.points.write_bytes(content if isinstance(content, bytes) else content.encode())

    damage.__name__ = name
    FAULTS.case(explain=(REFUSED, words))(damage)


_points("points_that_are_no_numbers", "x,y,z\nnan,0,0\n", "line 2")
_points("points_outside_the_ct", "x,y,z\n900,0,0\n", "lies outside the CT")
_points("points_of_1e308", "x,y,z\n1e308,1e308,1e308\n", "lies outside the CT")
_points("points_with_wrong_columns", "a,b\n1,2\n", "no column x, y, z")
_points("points_with_a_column_twice", "x,y,z,X\n1,2,3,4\n", "more than once")
_points("points_with_short_lines", "x,y,z,nodule_id\n1,2\n", "line 2")
_points("points_in_binary", np.random.default_rng(0).bytes(4000), "not a CSV file")
_points("points_with_a_hostile_name", "x,y,z,nodule_id\n0,0,0,../../x\n", "letters, digits")
_points("points_with_nul", "x,y,z,nodule_id\n0,0,0,a\0b\n", "it is no text")
_points("points_without_a_line", "x,y,z\n", "holds no point")
_points("points_of_an_empty_file", "", "not a CSV file")


@FAULTS.case(alone=True, explain=(REFUSED, "more than any list of points"))
def points_of_a_gigabyte(i: Inputs) -> None:
    i.points.write_text("x,y,z\n0,0,0\n")
    os.truncate(i.points, 2**30)


@FAULTS.case(explain=(REFUSED, "not a Slicer markups file"))
def markups_nested_without_end(i: Inputs) -> None:
    i.points = i.folder / "points.mrk.json"
    i.points.write_text("[" * 100_000)
