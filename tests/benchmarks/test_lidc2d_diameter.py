"""Diameters of readers and of runs, on outlines and tables whose values are known."""

import numpy as np
import pandas as pd
import pytest
from lidc2d_diameter import estimates, figures, outlines_at, same

from ctxai.lidc.database import Contour, Nodule, Reading, Scan


def made_up_nodule():
    scan = Scan(1, "P", "1.2", "1.3", 1.0, 0.5, False, False, np.array([0.0, 1.0]))
    square = np.array([(4, 4), (4, 8), (8, 8), (8, 4)])
    hole = np.array([(5, 5), (5, 7), (7, 7), (7, 5)])
    first = Reading(1, scan, {}, (Contour(True, 0.0, square), Contour(False, 0.0, hole)))
    second = Reading(2, scan, {}, (Contour(True, 1.0, square + 1),))
    return Nodule("P-01", scan, (first, second))


def test_outlines_are_those_of_the_slice_with_their_points_and_holes():
    (outline,) = outlines_at(made_up_nodule(), 0)
    assert outline.shape == (5, 5) and outline[0, 0] and outline[0, 2] and not outline[2, 2]
    (other,) = outlines_at(made_up_nodule(), 1)
    assert other.all()


def test_the_same_outline_is_recognised_anywhere_in_an_image():
    outline = np.ones((3, 4), bool)
    image = np.zeros((10, 10), bool)
    image[5:8, 2:6] = True
    assert same(outline, image) == 1
    image[8, 2:6] = True
    assert same(outline, image) == pytest.approx(12 / 16)


def table():
    """Nodules of which the outline shows the diameter less 2 mm, and the prediction 10 mm of everything."""
    diameters = np.linspace(4, 30, 27)
    rows = [
        {"nodule_id": k, "patient_id": f"P{k // 2}", "diameter_mm": d, "predicted": 10.0, "seen": d - 2, "fold": fold}
        | {"part": part}
        for fold in range(5)
        for part in ("test", "calibration")
        for k, d in enumerate(diameters, start=100 * fold)
    ]
    return pd.DataFrame(rows)


def test_a_line_learns_from_the_calibration_nodules_what_the_outline_leaves_out():
    found = estimates(table())
    assert len(found) == 5 * 27 and (found["part"] == "test").all()
    np.testing.assert_allclose(found["outline"], found["diameter_mm"], atol=1e-6)
    np.testing.assert_allclose(found["outline_predicted"], found["diameter_mm"], atol=1e-6)
    np.testing.assert_allclose(found["outline_predicted_large"], 10, atol=1e-6)


def test_errors_are_those_against_the_label_and_between_readers():
    found = estimates(table())
    found["all_readers"] = found["diameter_mm"] + 1
    found["others"] = [f"{d + 1}|{d - 3}" if d < 25 else np.nan for d in found["diameter_mm"]]
    rows = {(r["estimate"], r["truth"], r["minus"], r["figure"], r["group"]): r for r in figures(found)}
    assert rows["another_reader", "label", "", "mae_mm", "all"]["value"] == pytest.approx(2)
    assert rows["another_reader", "label", "", "bias_mm", "all"]["value"] == pytest.approx(-1)
    assert rows["other_readers", "label", "", "mae_mm", "0 to 10 mm"]["value"] == pytest.approx(1)
    assert rows["outline", "readers", "", "mae_mm", "all"]["value"] == pytest.approx(1)
    gain = rows["outline", "label", "predicted", "mae_mm", "25 to 100 mm"]["value"]
    assert gain == pytest.approx(-rows["predicted", "label", "", "mae_mm", "25 to 100 mm"]["value"])
    assert not [key for key in rows if key[0] == "another_reader" and key[-1] == "25 to 100 mm"]
