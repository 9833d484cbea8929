"""The same figures on parts of the nodules: by size, texture, slice thickness, manufacturer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ctxai.evaluate.predictions.bootstrap import RESAMPLES, bootstrap_patients
from ctxai.evaluate.predictions.scores import area_under_curve, brier_score

FEWEST_OF_A_CLASS = 5
"""Nodules of either class that a subgroup needs for an AUC."""

_SIZES = ((0.0, 8.0, "under 8 mm"), (8.0, 15.0, "8 to 15 mm"), (15.0, np.inf, "15 mm and more"))
_THICKNESSES = ((0.0, 1.5, "under 1.5 mm"), (1.5, 2.75, "1.5 to 2.5 mm"), (2.75, np.inf, "3 mm and more"))
_SOLID = 4.0  # readers' mean texture: 5 is solid, 3 part-solid, 1 without a solid part


def subgroup_names(predictions: pd.DataFrame) -> dict[str, pd.Series]:
    """For each attribute that is known, the subgroup of every nodule; None where it is not known."""
    groups = {}
    if "diameter_mm" in predictions:
        groups["diameter"] = _cut(predictions["diameter_mm"], _SIZES)
    if "texture_readers" in predictions:
        texture = predictions["texture_readers"]
        solid = np.where(texture >= _SOLID, "solid", "part-solid or non-solid")
        groups["texture"] = pd.Series(solid, predictions.index, dtype=object).where(texture.notna(), None)
    if "slice_thickness_mm" in predictions:
        groups["slice thickness"] = _cut(predictions["slice_thickness_mm"], _THICKNESSES)
    if "manufacturer" in predictions:
        names = predictions["manufacturer"].astype(object)
        groups["manufacturer"] = names.where(names.notna() & (names != ""), None)
    return {attribute: names for attribute, names in groups.items() if names.notna().any()}


def by_subgroup(predictions: pd.DataFrame, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, dict[str, Any]]:
    """Figures of every subgroup: per attribute and group ``nodules``, ``malignant``, ``patients`` of the nodules with
    a class, ``auc`` (None below 5 nodules of either class), ``brier`` and ``mae`` of the malignancy rating, the last
    over all nodules; with 95 % intervals over patients.
    """
    return {
        attribute: {name: _figures(nodules, seed, resamples) for name, nodules in groups.items()}
        for attribute, groups in split_by_subgroup(predictions).items()
    }


def split_by_subgroup(predictions: pd.DataFrame) -> dict[str, dict[str, pd.DataFrame]]:
    """Per attribute that is known, the rows of every subgroup, in order."""
    return {
        attribute: {str(name): predictions[names == name] for name in _in_order(attribute, names.dropna().unique())}
        for attribute, names in subgroup_names(predictions).items()
    }


def _figures(nodules: pd.DataFrame, seed: int, resamples: int) -> dict[str, Any]:
    decided = nodules[nodules["label_malignancy"].notna()]
    label = decided["label_malignancy"].to_numpy(int)
    logit, probability = (decided[name].to_numpy(float) for name in ("malignancy_logit", "malignancy_probability"))
    malignant = int(label.sum())
    enough = min(malignant, len(label) - malignant) >= FEWEST_OF_A_CLASS

    def on_decided(rows: np.ndarray) -> dict[str, float]:
        area = {"auc": area_under_curve(label[rows], logit[rows])} if enough else {}
        return area | {"brier": brier_score(label[rows], probability[rows])}

    error = (nodules["malignancy"] - nodules["malignancy_readers"]).abs().to_numpy(float)
    counts = {"nodules": len(label), "malignant": malignant, "patients": decided["patient_id"].nunique()}
    figures: dict[str, Any] = {"auc": None, "brier": None}
    if len(label):
        figures |= bootstrap_patients(on_decided, decided["patient_id"].to_numpy(), None, seed, resamples)
    figures |= bootstrap_patients(
        lambda rows: {"mae": float(np.nanmean(error[rows])) if (~np.isnan(error[rows])).any() else float("nan")},
        nodules["patient_id"].to_numpy(),
        None,
        seed,
        resamples,
    )
    return counts | figures


def _cut(values: pd.Series, bounds: tuple[tuple[float, float, str], ...]) -> pd.Series:
    names = pd.Series(None, values.index, dtype=object)
    for low, high, name in bounds:
        names[(values >= low) & (values < high)] = name
    return names


def _in_order(attribute: str, names: np.ndarray) -> list[str]:
    bounds = {"diameter": _SIZES, "slice thickness": _THICKNESSES}.get(attribute)
    return [name for *_, name in bounds if name in names] if bounds else sorted(names)
