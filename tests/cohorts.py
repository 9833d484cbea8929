"""Small synthetic nodule stores: bright large spheres are malignant, faint small ones benign."""

from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.data.store import NoduleStore

TRAITS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
)


def label_table(nodules: int, seed: int = 0) -> pd.DataFrame:
    """A store's table: one patient per two nodules, five folds, even nodules malignant with firm texture."""
    generator = np.random.default_rng(seed)
    rows = []
    for row in range(nodules):
        malignant = row % 2 == 0
        ratings = [int(r) for r in generator.choice([4, 5] if malignant else [1, 2], 4)]
        rows.append(
            {
                "nodule_id": f"N{row:03d}",
                "patient_id": f"P{row // 2:03d}",
                "series_uid": f"1.2.3.{row // 2}",
                "n_readers": 4,
                "diameter_mm": generator.uniform(16, 24) if malignant else generator.uniform(5, 9),
                "malignancy_ratings": "|".join(map(str, ratings)),
                "malignancy_mean": float(np.mean(ratings)),
                "malignancy_median": float(np.median(ratings)),
                **{f"{trait}_mean": float(generator.uniform(1, 5)) for trait in TRAITS},
                "texture_mean": 5.0 if malignant else 2.0,
                "label_malignancy": float(malignant),
                "fold": (row // 2) % 5,
                "x": 0.0,
                "y": 0.0,
                "z": 0.0,
                "fault": "",
            }
        )
    return pd.DataFrame(rows)


def sphere_store(path: Path, nodules: int = 40, depth: int = 64, noise_hu: float = 40.0, seed: int = 0) -> NoduleStore:
    """A store of noisy spheres in lung, with the table of :func:`label_table`: malignant ones are large and dense."""
    generator = np.random.default_rng(seed)
    table = label_table(nodules, seed)
    store = NoduleStore.create(path, nodules, (depth, 64, 64))
    axes = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in (depth, 64, 64))
    z, y, x = np.meshgrid(*axes, indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2)
    for row, (diameter, label) in enumerate(zip(table["diameter_mm"], table["label_malignancy"], strict=True)):
        inside = distance <= diameter / 2
        hu = np.where(inside, 40 if label else -300, -850)
        hu = hu + noise_hu * generator.standard_normal(distance.shape, dtype=np.float32)
        store.write(row, hu.astype(np.int16), inside * np.uint8(4), np.ones(distance.shape, np.uint8))
    store.write_table(table)
    return store
