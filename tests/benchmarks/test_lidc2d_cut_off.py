"""Warnings of cut-off masses, on a table whose values are known."""

import pandas as pd
import pytest
from lidc2d_cut_off import figures


def test_a_prediction_that_moves_over_one_half_is_calm_where_nothing_is_told():
    calm = {"split": "test", "group": "20 mm and more", "novelty_percentile": 50.0, "diameter": 22.0}
    rows = [
        {"nodule_id": k, "patient_id": f"P{k}", "mark_mm": mark, "malignancy_probability": probability}
        | {"outline_off_centre_mm": off, **calm}
        for k, (aside, beside) in enumerate([(0.2, 6.0), (0.3, 0.5), (0.9, 0.5), (0.8, 6.0)])
        for mark, probability, off in ((0, 0.9, 0.1), (10, aside, beside))
    ]
    found = {(row["mark_mm"], row["figure"]): row["value"] for row in figures(pd.DataFrame(rows))}
    assert found[10, "crosses"] == pytest.approx(0.5) and found[10, "crosses_calmly"] == pytest.approx(0.25)
    assert found[10, "told"] == found[10, "off_centre"] == pytest.approx(0.5) and found[0, "told"] == 0
    assert (0, "crosses") not in found
