"""Whether a model learnt the planted trait; without that nothing is scored on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ctxai.data.patches import Patches
from ctxai.data.planted import PlantedTruth
from ctxai.errors import InputError
from ctxai.evaluate.predictions.scores import area_under_curve
from ctxai.run.run import Run

LEAST_AUC = 0.95
LEAST_FLIPPED = 0.9


@dataclass(frozen=True, eq=False)
class PlantedCheck:
    """Answers of a run to planted nodules and their counterparts.

    Attributes:
        auc: of the trait, on nodules of patients that the run has not seen.
        flipped: (row,) bool: a nodule is told rightly, and its counterpart, which differs in the trait alone, too.
        removed: share of the nodules with the trait, told rightly, whose prediction flips when the trait is removed.
        added: share of those without it whose prediction flips when it is added.
    """

    auc: float
    flipped: np.ndarray
    removed: float
    added: float


def check_planted(run: Run, truth: PlantedTruth, rows: np.ndarray) -> PlantedCheck:
    """Predict ``rows`` and their counterparts.

    Raises:
        InputError: when the AUC is below 0.95, or removing the trait flips fewer than 90 % of the predictions.
    """
    labels = truth.store.table["label_malignancy"].to_numpy(int)[rows]
    logits = run.outputs(Patches(truth.store, rows, memory_limit_bytes=0)[rows])[:, 0].numpy()
    others = np.stack([truth.counterpart(int(row)) for row in rows])
    counterparts = run.outputs(torch.from_numpy(others))[:, 0].numpy()
    right = (logits > 0) == (labels == 1)
    flipped = right & ((counterparts > 0) != (logits > 0))
    removed, added = (_share(flipped[right & (labels == value)]) for value in (1, 0))
    found = PlantedCheck(area_under_curve(labels, logits), flipped, removed, added)
    if found.auc < LEAST_AUC or not found.removed >= LEAST_FLIPPED:
        raise InputError(
            f"{run.name}: expected AUC ≥ {LEAST_AUC} on unseen patients and at least {LEAST_FLIPPED:.0%} of predictions"
            f" to flip when {truth.trait} is removed, found {found.auc:.3f} and {found.removed:.0%}; a model that has "
            "not learnt the trait is not explained: train it longer or on more nodules"
        )
    return found


def _share(flipped: np.ndarray) -> float:
    """NaN where nothing was told rightly."""
    return float(flipped.mean()) if len(flipped) else float("nan")
