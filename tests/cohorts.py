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


def sphere_store(path: Path, nodules: int = 40, depth: int = 64, noise_hu: float = 40.0, seed: int = 0) -> NoduleStore:
    """A store of spheres in lung, one patient per two nodules, five folds with both classes in each.

    Ratings follow the sphere: malignancy its size, texture its density; the others are noise.
    """
    generator = np.random.default_rng(seed)
    store = NoduleStore.create(path, nodules, (depth, 64, 64))
    rows = []
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (depth, 64, 64)), indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2)
    for row in range(nodules):
        malignant = row % 2 == 0
        diameter = generator.uniform(16, 24) if malignant else generator.uniform(5, 9)
        density = 40.0 if malignant else -300.0
        hu = np.where(distance <= diameter / 2, density, -850.0) + generator.normal(0, noise_hu, distance.shape)
        inside = (distance <= diameter / 2).astype(np.uint8)
        store.write(row, hu.astype(np.int16), inside * 4, np.ones_like(inside))
        ratings = [int(r) for r in generator.choice([4, 5] if malignant else [1, 2], 4)]
        means = {f"{t}_mean": float(generator.uniform(1, 5)) for t in TRAITS} | {
            "texture_mean": 5.0 if malignant else 2.0
        }
        rows.append(
            {
                "nodule_id": f"N{row:03d}",
                "patient_id": f"P{row // 2:03d}",
                "series_uid": f"1.2.3.{row // 2}",
                "n_readers": 4,
                "diameter_mm": diameter,
                "malignancy_ratings": "|".join(map(str, ratings)),
                "malignancy_mean": float(np.mean(ratings)),
                "malignancy_median": float(np.median(ratings)),
                **means,
                "label_malignancy": float(malignant),
                "fold": (row // 2) % 5,
                "x": 0.0,
                "y": 0.0,
                "z": 0.0,
                "fault": "",
            }
        )
    store.write_table(pd.DataFrame(rows))
    return store
