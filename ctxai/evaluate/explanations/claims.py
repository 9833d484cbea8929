"""Published claims and readers' expectations, each put to a rule that was fixed before looking: yes, no, not shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ctxai.evaluate.explanations.comparison import CHANCE, REFERENCE, bootstrap_means, direction_of, patient_draws
from ctxai.evaluate.predictions.bootstrap import RESAMPLES

ESTIMATORS = (
    "attention_map",
    "generic_attribution",
    "integrated_gradients",
    "smooth_grad",
    "input_x_gradient",
    "token_ablation",
    "partial_lrp",
)
"""The seven that CDAM was published against."""

CLAIMS: Mapping[str, tuple[str, ...]] = {
    "correctness": ("fidelity", "box_sensitivity"),
    "compactness": ("compactness",),
    "class sensitivity": ("class_sensitivity",),
}
"""Claim: metrics; each variant of a metric gives a verdict of its own."""

EXPECTED_ZONES = (("spiculation", "rim_energy"), ("calcification", "core_energy"))
"""Where readers look for a biomarker."""

_COLUMNS = ["claim", "metric", "against", "n", "difference", "low", "high", "verdict"]


def evaluate_claims(scores: pd.DataFrame, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Whether CDAM is ahead of each of the seven estimators.

    A row per metric and estimator gives the mean paired difference, in the direction of "CDAM is better", with its
    simultaneous interval: 95 % for all estimators together by Bonferroni. The row ``against = all`` gives the verdict:
    *yes* when every interval lies above 0, *no* when one lies below 0, else *not shown*; its difference and interval
    are those of the estimator that comes closest. Class sensitivity is averaged over the further targets of a nodule
    first; the other claims are evaluated on the first target.
    """
    rows: list[dict[str, Any]] = []
    for claim, metrics in CLAIMS.items():
        for label in scores["metric"].unique():
            if label.split("[")[0] not in metrics:
                continue
            chosen = scores[scores["metric"] == label]
            if claim != "class sensitivity":
                chosen = chosen[chosen["target"] == scores["target"].iloc[0]]
            rows += _against(claim, label, chosen, seed, resamples)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _against(claim: str, label: str, chosen: pd.DataFrame, seed: int, resamples: int) -> list[dict[str, Any]]:
    means = chosen.groupby(["nodule_id", "patient_id", "method"])["score"].mean().unstack("method")
    estimators = [name for name in ESTIMATORS if name in means]
    if REFERENCE not in means or not estimators:
        return []
    sign = 1 if direction_of(label) else -1
    draws = patient_draws(means.index.get_level_values("patient_id").to_numpy(), seed, resamples)
    rows: list[dict[str, Any]] = []
    for name in estimators:
        ahead = sign * (means[REFERENCE] - means[name]).to_numpy(float)
        tail = 2.5 / len(estimators)
        low, high = np.percentile(bootstrap_means(ahead, draws), [tail, 100 - tail])
        row = {"claim": claim, "metric": label, "against": name, "n": int((~np.isnan(ahead)).sum())}
        rows.append(row | {"difference": float(np.nanmean(ahead)), "low": float(low), "high": float(high)})
    closest = min(rows, key=lambda row: row["low"])
    behind = [row for row in rows if row["high"] < 0]
    shown = min(behind, key=lambda row: row["high"]) if behind else closest
    verdict = "no" if behind else "yes" if closest["low"] > 0 else "not shown"
    return [*rows, shown | {"against": f"all ({shown['against']})", "verdict": verdict}]


def evaluate_zones(
    scores: pd.DataFrame, method: str = REFERENCE, seed: int = 0, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Whether a biomarker's map lies where readers look: spiculation on the rim, calcification in the core.

    Two comparisons each, on the same nodules: with the mean of the other biomarkers' maps of the same method, and with
    a random map. *yes* when both 95 % intervals lie above 0, *no* when one lies below 0, else *not shown*.
    """
    rows = []
    for target, metric in EXPECTED_ZONES:
        zone = scores[(scores["metric"].str.split("[").str[0] == metric) & (scores["place"] == "readers")]
        own = zone[zone["method"] == method].pivot_table(
            index=["nodule_id", "patient_id"], columns="target", values="score"
        )
        random = zone[(zone["method"] == CHANCE) & (zone["target"] == target)]
        chance = random.set_index(["nodule_id", "patient_id"])["score"]
        others = [name for name in own if name not in {target, "malignancy"}]
        if target not in own or not others or chance.empty:
            continue
        draws = patient_draws(own.index.get_level_values("patient_id").to_numpy(), seed, resamples)
        found: list[dict[str, Any]] = []
        for what, other in (("other biomarkers", own[others].mean(axis=1)), (CHANCE, chance.reindex(own.index))):
            ahead = (own[target] - other).to_numpy(float)
            if np.isnan(ahead).all():
                continue
            low, high = np.percentile(bootstrap_means(ahead, draws), [2.5, 97.5])
            row: dict[str, Any] = {
                "claim": f"{target} on the {metric.split('_')[0]}",
                "metric": metric,
                "against": what,
            }
            row |= {"n": int((~np.isnan(ahead)).sum()), "difference": float(np.nanmean(ahead))}
            found.append(row | {"low": float(low), "high": float(high)})
        behind, in_front = any(row["high"] < 0 for row in found), all(row["low"] > 0 for row in found)
        rows += [row | {"verdict": "no" if behind else "yes" if in_front else "not shown"} for row in found]
    return pd.DataFrame(rows, columns=_COLUMNS)
