"""A made-up table of predictions, as `ctxai evaluate` writes it."""

import numpy as np
import pandas as pd
from scipy.special import expit

from ctxai.data.labels import TARGETS


def predictions(n=200, seed=0, per_patient=2):
    """A useful logit, exact probabilities, and every rating one point too high with intervals half a point wide."""
    generator = np.random.default_rng(seed)
    label = (np.arange(n) % 2).astype(float)
    logit = generator.normal(2 * label - 1, 1.0)
    table = {
        "nodule_id": [f"N{i}" for i in range(n)],
        "patient_id": [f"P{i // per_patient}" for i in range(n)],
        "label_malignancy": label,
        "diameter_mm": generator.normal(10 + 2 * label, 3),
        "malignancy_logit": logit,
        "malignancy_probability": expit(2 * logit),  # exact for these two normal distributions
        "probability_none": expit(logit),
    }
    for target in TARGETS:
        readers = generator.uniform(1, 4, n)
        table |= {target: readers + 1, f"{target}_low": readers + 0.5, f"{target}_high": readers + 1.5}
        table[f"{target}_readers"] = readers
    return pd.DataFrame(table)
