"""How far the networks of an ensemble are apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ctxai.models.ensemble import EnsembleClassifier
from ctxai.models.network import NoduleNetwork

if TYPE_CHECKING:
    from ctxai.run.run import Run


def spread_over_members(run: Run, hu: torch.Tensor, centres_mm: torch.Tensor | None) -> dict[str, np.ndarray]:
    """Standard deviations (nodule,) of predictions over an ensemble's networks, by column; n - 1 in the denominator.

    ``<name>_spread`` of numbers and ratings in their units, ``<output>_probability_spread`` of probabilities under the
    ensemble's calibration. Empty for a run of one network. It tells what the choice of training patients changes, and
    is no interval.

    Args:
        run: whose networks see the images standardised each by its own training nodules.
        hu, centres_mm: as `Run.outputs`.
    """
    model = run.model
    if not isinstance(model, EnsembleClassifier):
        return {}
    tables = []
    for member, (mean, std) in zip(model.members, model.statistics[1:].tolist(), strict=True):
        assert isinstance(member, NoduleNetwork)
        config = replace(run.config, views=replace(run.views, mean=mean, std=std))
        tables.append(replace(run, model=member, config=config, novelty=None).predict(hu, centres_mm))
    names = run.target_names if run.own is None else run.own.value_columns
    return {f"{name}_spread": np.std([table[name] for table in tables], axis=0, ddof=1) for name in names}
