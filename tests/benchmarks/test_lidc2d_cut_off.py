"""Warnings of cut-off masses, on a table whose values are known."""

import pandas as pd
import pytest
from lidc2d_cut_off import figures


def test_a_prediction_that_moves_over_one_half_is_calm_where_nothing_is_told():
    rows = [
        {"nodule_id": k, "patient_id": f"P{k}", "mark_mm": mark, "malignancy_probability": probability}
        | {"told": told, "number": False}
        for k, (aside, told) in enumerate([(0.2, True), (0.3, False), (0.9, False), (0.8, True)])
        for mark, probability, told in ((0, 0.9, False), (10, aside, told))
    ]
    found = {(row["mark_mm"], row["figure"]): row["value"] for row in figures(pd.DataFrame(rows))}
    assert found[10, "crosses"] == pytest.approx(0.5) and found[10, "crosses_calmly"] == pytest.approx(0.25)
    assert found[10, "told"] == pytest.approx(0.5) and found[0, "told"] == 0
    assert (0, "crosses") not in found
