"""Figures of inexact marks, on tables whose values are known."""

import pandas as pd
import pytest
from lidc2d_marks import figures


def table(change, crossing=0, nodules=40):
    """Nodules whose rating changes by ``change`` mm for mm, the first ``crossing`` of which move over .5."""
    rows = [
        {
            "images": images,
            "mark_mm": distance,
            "nodule_id": nodule,
            "patient_id": f"P{nodule // 2}",
            "diameter_mm": 8.0 if nodule % 2 else 18.0,
            "malignancy": 3 + (change * distance if images == "kept" else 0) * (-1) ** nodule,
            "malignancy_probability": 0.7 if distance == 5 and nodule < crossing else 0.3,
            "dice": 0.9 if nodule % 2 else 0.7,
        }
        for images in ("recentred", "kept")
        for distance in (0, 3, 5)
        for nodule in range(nodules)
    ]
    return pd.DataFrame(rows)


def value(found, figure, images, distance, group="all"):
    (row,) = [
        row
        for row in found
        if (row["figure"], row["images"], row["mark_mm"], row["group"]) == (figure, images, distance, group)
    ]
    return row["value"]


def test_changes_are_those_from_the_mark_in_the_middle_in_either_direction():
    found = figures(table(change=0.1))
    assert value(found, "rating_median", "kept", 3) == pytest.approx(0.3)
    assert value(found, "rating_p95", "kept", 5) == pytest.approx(0.5)
    assert value(found, "rating_p95", "recentred", 5) == 0


def test_nodules_that_move_over_one_half_are_counted():
    found = figures(table(change=0, crossing=4))
    assert value(found, "crosses", "kept", 3) == 0
    assert value(found, "crosses", "kept", 5) == pytest.approx(4 / 40)


def test_dice_is_given_by_diameter():
    found = figures(table(change=0))
    assert value(found, "dice", "kept", 0) == pytest.approx(0.8)
    assert value(found, "dice", "kept", 0, "0 to 10 mm") == pytest.approx(0.9)
    assert value(found, "dice", "kept", 0, "15 to 25 mm") == pytest.approx(0.7)
    assert not [row for row in found if row["group"] == "25 to 100 mm"]
