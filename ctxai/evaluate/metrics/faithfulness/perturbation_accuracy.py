"""Accuracy while the most, or the least, important pixels are removed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import Order, outputs_after_removal

_TENTHS = 10  # 0, 10 .. 90 % are removed


@dataclass(frozen=True)
class _PerturbationAccuracy(Metric):
    """Chefer's protocol for one order of removal."""

    fill: str = option("lung_mean", "fill")

    units = "percent x share, 0 to 90"
    needs = frozenset({"model", "labels"})
    reference = "arXiv:2012.09838"
    published = MappingProxyType({"fill": "black"})

    @property
    @abstractmethod
    def _order(self) -> Order: ...

    def _score(self, batch: ExplanationBatch) -> Tensor:
        pixels = batch.images[0, 0].numel()
        counts = [k * pixels // _TENTHS for k in range(_TENTHS)]
        (outputs,) = outputs_after_removal(batch, [self._order], counts, self.fill)
        return 100 * torch.trapezoid(_correct(batch, outputs), dx=1 / _TENTHS)


@dataclass(frozen=True)
class PositivePerturbation(_PerturbationAccuracy):
    """Trapezoid over 0 to 90 % of removed pixels, the most important first, of the accuracy in percent.

    Of one image: 100 or 0 where its class is recognised or not; 90 when always. NaN without a label or a class. The
    published figure is the mean over images. Needs hundreds of images: an image says little.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
    """

    name = "positive_perturbation"
    higher_is_better = False

    _order = "MoRF"


@dataclass(frozen=True)
class NegativePerturbation(_PerturbationAccuracy):
    """As positive perturbation, the least important pixels first.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
    """

    name = "negative_perturbation"
    higher_is_better = True

    _order = "LeRF"


def _correct(batch: ExplanationBatch, outputs: Tensor) -> Tensor:
    """Whether outputs (N, S, K) name the true class, 1 or 0, (N, S); NaN where there is no class or no label."""
    if batch.labels is None:
        raise InputError("expected labels, found none; give ExplanationBatch(labels=...)")
    labels = batch.labels.double().to(outputs.device)[:, None]
    if batch.link == "softmax":
        right = outputs.argmax(dim=2) == labels
    elif batch.link == "sigmoid":
        right = (batch.explained(outputs) > 0) == (labels > 0.5)
    else:
        right = torch.zeros_like(labels, dtype=torch.bool).expand(outputs.shape[:2])
        labels = torch.full_like(labels, float("nan"))
    return right.double().where(~labels.isnan(), float("nan"))
