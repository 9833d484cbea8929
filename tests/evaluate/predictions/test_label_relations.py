import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from ctxai.evaluate.predictions.label_relations import label_correlations

TABLE = pd.DataFrame(
    {
        "nodule_id": list("abcde"),
        "malignancy_mean": [1.0, 2.0, 3.0, 4.0, 5.0],
        "margin_mean": [5.0, 4.0, 4.5, 2.0, 1.0],
        "texture_mean": 5.0,
        "diameter_mm": [3.0, np.nan, 8.0, 5.0, 9.0],
    }
)


def test_ranks_of_the_chosen_nodules_are_correlated_and_gaps_left_out():
    found = label_correlations(TABLE, np.array(list("edca")), ["malignancy", "margin", "texture", "diameter"])
    found = found.set_index("target")
    expected = spearmanr([5, 4, 3, 1], [1, 2, 4.5, 5]).statistic
    assert found.loc["margin", "spearman"] == pytest.approx(expected)
    assert np.isnan(found.loc["texture", "spearman"])
    assert found["n"].to_dict() == {"margin": 4, "texture": 4, "diameter": 4}
    assert (found["with"] == "malignancy").all()
