"""How far the networks of an ensemble are apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ctxai.data.labels import SCALES
from ctxai.models.ensemble import EnsembleClassifier
from ctxai.models.network import NoduleNetwork

if TYPE_CHECKING:
    from ctxai.run.run import Run


def rating_spread(run: Run, hu: torch.Tensor, centres_mm: torch.Tensor | None) -> np.ndarray | None:
    """Standard deviation (nodule,) of malignancy, 1 to 5, over an ensemble's networks; n - 1 in the denominator.

    None for a run of one network, and for one that predicts no malignancy on that scale. It tells what the choice of
    training patients changes, and is no interval.

    Args:
        run: whose networks see the images standardised each by its own training nodules.
        hu, centres_mm: as `Run.outputs`.
    """
    model = run.model
    if not isinstance(model, EnsembleClassifier) or run.own is not None or "malignancy" not in run.target_names:
        return None
    ratings = []
    for member, (mean, std) in zip(model.members, model.statistics[1:].tolist(), strict=True):
        assert isinstance(member, NoduleNetwork)
        views = replace(run.views, mean=mean, std=std)
        alone = replace(run, model=member, config=replace(run.config, views=views))
        outputs = alone.outputs(hu, centres_mm).to(model.device)
        ratings.append(alone.model.to_units(outputs)[:, 0].cpu().double().numpy().clip(*SCALES["malignancy"]))
    return np.std(ratings, axis=0, ddof=1)
