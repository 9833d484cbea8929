"""Whether a method's maps of two targets differ."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.explanations.similarity import pearson


@dataclass(frozen=True)
class ClassSensitivity(Metric):
    """Pearson's correlation of the maps for the target and for the second target, on the maps' own grid.

    1 for a method that ignores the target. Published for the classes of highest and lowest confidence (give both
    targets as one index per image); for outputs of one model that can be right together, take malignancy and each
    biomarker, and read the figure beside the correlation of their labels: maps of related targets should be alike. The
    two signs of one logit tell nothing, since their maps are opposite by arithmetic. This is the correlation itself;
    MindSpore returns it negated and normalised.
    """

    name = "class_sensitivity"
    higher_is_better = False
    units = "Pearson correlation"
    needs = frozenset({"second_target"})
    reference = "arXiv:2312.02364"

    def missing(self, batch: ExplanationBatch) -> list[str]:
        """As for every metric; the method only where the second maps are not given."""
        asked = ["method"] if batch.second_maps is None and batch.method is None else []
        return sorted(super().missing(batch) + asked)

    def _score(self, batch: ExplanationBatch) -> Tensor:
        second = batch.second_maps
        if second is None:
            assert batch.second_target is not None  # in `needs`
            second = batch.explain(batch.images, batch.second_target)
        return pearson(batch.maps.flatten(1), second.flatten(1))
