"""Whether a map adds up to what it explains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.explanations.perturb import filled, outputs_of_images, run_stream


@dataclass(frozen=True)
class CompletenessError(Metric):
    """|f(x) - f(0) - the map's sum|, 0 being the image of zeros after preprocessing.

    Only for methods whose pixel maps claim to share out that difference: integrated gradients, for which it measures
    the error of the integration, and input x gradient, for which it measures how far the model is from linear. They
    give means over channels, so that the sum is multiplied by their number. NaN for every other method: a map that
    promises no sum cannot miss it.

    Args:
        relative: divide by |f(x) - f(0)|.
    """

    relative: bool = False

    name = "completeness_error"
    higher_is_better = False
    units = "output"
    needs = frozenset({"model", "method"})
    reference = "arXiv:1703.01365"

    def _score(self, batch: ExplanationBatch) -> Tensor:
        if not given(batch.method).complete:
            return torch.full((len(batch),), float("nan"), dtype=torch.float64)
        zeros = filled(batch, "zero")
        blank = batch.recall("outputs of zeros", lambda: run_stream(batch, len(batch), lambda numbers: zeros[numbers]))
        change = batch.explained(outputs_of_images(batch)) - batch.explained(blank)
        total = batch.maps.double().sum(dim=(1, 2)) * batch.images.shape[1]
        error = (change - total).abs()
        return error / change.abs() if self.relative else error
