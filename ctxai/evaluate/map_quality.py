"""Reliability of one nodule's map: figures that need neither readers nor a ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ctxai.data.settings import ViewConfig
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.perturb import share_ends
from ctxai.evaluate.metrics.faithfulness.fidelity import Fidelity
from ctxai.evaluate.metrics.randomisation.randomisation import Randomisation
from ctxai.evaluate.metrics.robustness.kernel_stability import KernelStability
from ctxai.evaluate.metrics.robustness.mark_stability import MarkStability
from ctxai.evaluate.metrics.robustness.stability import Stability
from ctxai.explain.base import Attribution

FIDELITY = Fidelity(fill="lung_mean", steps=5)
FIDELITY_BLUR = Fidelity(fill="blur", steps=5)
STABILITIES = (Stability(draws=1), MarkStability(draws=2), KernelStability())
RANDOMISATION = Randomisation(cascading=False, draws=3)
RANDOM_MAPS = 10
"""Random maps of each image; every one counts with both signs, so that the percentile has steps of 5."""
RANDOM_GRID = (8, 8)
"""Blocks of a random map, for tokens and pixels alike: random pixels would only be a test of scattered removal."""
PERCENTILE_NEEDED = 100.0
"""A map passes when it is ahead of all 20: by chance 1 in 22 does, for it would have to be the largest of eleven in
magnitude and have the right sign (an exact permutation test, p = 0.045)."""
SANE_BELOW = 0.5
"""The sanity check holds where the |rank correlation| with the randomised model's map is lower than this."""


@dataclass(frozen=True)
class Trust:
    """Figures of one map, means over the images it consists of.

    Attributes:
        fidelity: area between the curves of the target's output when the least and when the most important pixels are
            replaced by the lung's mean HU first; in the output's unit, 0 for a map that knows nothing.
        fidelity_percentile: percentage of random maps of the same images with a lower fidelity; 50 is chance.
        fidelity_percentile_blur: the same with the blurred image instead of the lung's mean.
        stability: lowest of the rank correlations with the map of the images under noise of 20 HU, about a mark moved
            by 2 mm (not re-centred), and under another reconstruction kernel.
        randomisation: |rank correlation| with the maps of the same model with shuffled weights.
    """

    fidelity: float
    fidelity_percentile: float
    fidelity_percentile_blur: float
    stability: float
    randomisation: float

    @property
    def passes(self) -> bool:
        """Whether the map is more faithful than every random one, with both replacements of what is removed."""
        return min(self.fidelity_percentile, self.fidelity_percentile_blur) >= PERCENTILE_NEEDED

    @property
    def sanity(self) -> bool | None:
        """Whether the map depends on what the model has learnt; None where that is not known."""
        return None if np.isnan(self.randomisation) else self.randomisation < SANE_BELOW


class MapReliability:
    """Reliability of maps of some images; random maps are scored once for all methods and targets.

    The cost in forward passes of an image: 163 for all random maps; for every map 16 and eight times the method's own
    cost. The ends of the curves, where nothing or everything is removed, are the same for all maps.

    Args:
        model: what the maps explain.
        images: (N, C, H, W), preprocessed; those of one nodule.
        views: the run's views.
        target_names: names of the model's outputs.
        seed: of random maps, noise and randomised weights.
    """

    def __init__(
        self, model: nn.Module, images: Tensor, views: ViewConfig, target_names: Sequence[str], seed: int = 0
    ) -> None:
        self._model, self._images, self._views, self._seed = model, images, views, seed
        self._target_names = list(target_names)
        self._ends = ExplanationBatch(images, images.new_zeros(len(images), 1, 1), model, views=views)

    def assess(self, method: Attribution, target: str, maps: Tensor) -> Trust:
        """The figures of a method's ``maps`` (N, h, w) for one of the model's outputs, as ``attribute`` gave them."""
        index = self._target_names.index(target)
        batch = self._batch(maps, target=index, method=method)
        random = self._random.for_target(index, "identity")
        lung, blurred = (
            percentile(_mean(metric.score(batch)), [*map(_mean, np.split(metric.score(random), RANDOM_MAPS))])
            for metric in (FIDELITY, FIDELITY_BLUR)
        )
        stability = min(_mean(metric.score(batch)) for metric in STABILITIES)
        return Trust(_mean(FIDELITY.score(batch)), lung, blurred, stability, _mean(RANDOMISATION.score(batch)))

    @cached_property
    def _random(self) -> ExplanationBatch:
        """Random maps of all images, one after another, which remember the model's answers for every target."""
        generator = torch.Generator().manual_seed(self._seed)
        draws = torch.rand(RANDOM_MAPS * len(self._images), *RANDOM_GRID, generator=generator)
        return self._batch(draws.to(self._images), copies=RANDOM_MAPS)

    def _batch(
        self, maps: Tensor, target: int = 0, method: Attribution | None = None, copies: int = 1
    ) -> ExplanationBatch:
        images = self._images.repeat(copies, 1, 1, 1)
        batch = ExplanationBatch(
            images, maps, self._model, target=target, views=self._views, method=method, seed=self._seed
        )
        for metric in (FIDELITY, FIDELITY_BLUR):
            share_ends(self._ends, batch, metric.fill)
        return batch


def percentile(fidelity: float, chance: Sequence[float]) -> float:
    """Percentage of random maps, each with both signs, of a lower fidelity; ties count by half."""
    both = [*chance, *(-value for value in chance)]
    return 100 * float(np.mean([(value < fidelity) + 0.5 * (value == fidelity) for value in both]))


def _mean(scores: np.ndarray) -> float:
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else float("nan")
