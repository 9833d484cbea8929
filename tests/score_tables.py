"""Tables of scores whose answers are known."""

import numpy as np
import pandas as pd

NODULES = 30
BASE = np.random.default_rng(0).normal(size=NODULES)


def scores(values, target="malignancy", metric="fidelity[lung_mean]", place=""):
    """A table of scores (method: one per nodule); two nodules of each patient."""
    tables = [
        pd.DataFrame(
            {
                "target": target,
                "metric": metric,
                "place": place,
                "nodule_id": [f"n{i:02d}" for i in range(NODULES)],
                "patient_id": [f"p{i // 2:02d}" for i in range(NODULES)],
                "score": value,
                "method": name,
            }
        )
        for name, value in values.items()
    ]
    return pd.concat(tables, ignore_index=True)
