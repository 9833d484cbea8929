"""The lines of predictions.csv: one per nodule, with what was predicted and how far it can be believed."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from ctxai.ct.series import CTSeries
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.options import ExplainOptions
from ctxai.inference.targets import name_of
from ctxai.report.trust import NOVELTY_PERCENTILE_ALLOWED

logger = logging.getLogger(__name__)


def prediction_row(series: CTSeries, nodule: ExplainedNodule, request: ExplainOptions) -> dict[str, Any]:
    """One line by column name; None where there is no number, as for the end of an interval without one."""
    candidate, run = nodule.candidate, request.run
    x, y, z = (round(float(value), 3) for value in candidate.centre_lps)
    row: dict[str, Any] = {
        "series": request.key_of(series.series_uid),
        "nodule_id": candidate.nodule_id,
        "x": x,
        "y": y,
        "z": z,
    }
    row |= {"diameter_mm": candidate.diameter_mm, "n_readers": candidate.n_readers}
    row |= {"in_sample": request.names.learnt_by(run, series.headers[0])}
    row |= {f"readers_{name}": value for name, value in candidate.ratings.items()}
    row |= {name: float(value) for name, value in nodule.prediction.items()}
    for method in request.methods:
        for target in map(name_of, request.targets):
            row[f"{method.name}_{target}_inside"] = nodule.share_inside(method.name, target)
            row[f"{method.name}_{target}_inside_by_chance"] = nodule.nodule_share(method.name, target)
            row |= _trust_columns(nodule, method.name, target)
    row |= {"untrained_views": " ".join(view for view in request.views if view not in run.views.views), "run": run.name}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}


def _trust_columns(nodule: ExplainedNodule, method: str, target: str) -> dict[str, float | bool | None]:
    """How far a map can be believed; nothing where it was not evaluated."""
    trust = nodule.trust.get((method, target))
    names = () if trust is None else ("fidelity", "fidelity_percentile", "stability", "sanity")
    return {f"{method}_{target}_{name}": getattr(trust, name) for name in names}


def warn_of_strangers(rows: Sequence[dict[str, Any]]) -> None:
    """Say which nodules are so unlike the training nodules that a prediction means little."""
    for row in rows:
        percentile = row.get("novelty_percentile")
        if percentile is not None and percentile > NOVELTY_PERCENTILE_ALLOWED:
            logger.warning(
                "%s, nodule %s: further from the training nodules than %.0f %% of their own; do not rely on what the "
                "run %s says of it, and look whether it lies in the middle of its images",
                *(row["series"], row["nodule_id"], percentile, row["run"]),
            )
