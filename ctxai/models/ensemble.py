"""Classifiers of one shape, trained on different folds, whose outputs are averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ctxai.models.network import NoduleNetwork


class EnsembleClassifier(nn.Module):
    """Images (N, 3, H, W) → mean outputs (N, K) of several classifiers, named by ``target_names``.

    Biomarkers are z-scores of the members' mean scale; ``biomarker_mean`` and ``biomarker_std`` (8,) turn them into
    units. Every member gets the images standardised by its own training nodules.

    Args:
        members: classifiers of the same options.
        statistics: mean and standard deviation of HU that each member's images have (member, 2), and, first, those of
            the images that the ensemble is given: (1 + member, 2).
    """

    biomarker_mean: torch.Tensor
    biomarker_std: torch.Tensor
    statistics: torch.Tensor

    def __init__(self, members: Sequence[NoduleNetwork], statistics: torch.Tensor) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        first = members[0]
        self.target_names, self.readout, self.has_outline = first.target_names, first.readout, first.has_outline
        self.own = first.own
        self._malignancy = int("malignancy" in self.target_names)
        self.register_buffer("statistics", statistics)
        for name in ("biomarker_mean", "biomarker_std") if self.own is None else ():
            self.register_buffer(name, torch.stack([getattr(member, name) for member in members]).mean(0))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.statistics.device

    def each(self, images: torch.Tensor) -> Iterator[tuple[NoduleNetwork, torch.Tensor]]:
        """Every member with the images as it expects them."""
        (mean, std), *own = self.statistics
        for member, (own_mean, own_std) in zip(self.members, own, strict=True):
            assert isinstance(member, NoduleNetwork)
            yield member, (images * std + (mean - own_mean)) / own_std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Mean outputs (N, K)."""
        return self.mean([member(own) for member, own in self.each(images)])

    def mean(self, outputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mean outputs (N, K) of those (N, K) of every member, in the order of the members."""
        common = [self._common(member, own) for member, own in zip(self.classifiers(), outputs, strict=True)]
        return torch.stack(common).mean(0)

    def outline(self, images: torch.Tensor) -> torch.Tensor:
        """Mean of the members' outlines, (N, side, side); see `NoduleNetwork.outline`."""
        return torch.stack([member.outline(own) for member, own in self.each(images)]).mean(0)

    def to_units(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs (..., K) in the readers' units."""
        first = self.members[0]
        assert isinstance(first, NoduleNetwork)
        if self.own is not None:
            scaled = [(member, *member.scale()) for member in self.classifiers()]
            common_mean, common_std = self.scale()
            units = outputs * common_std + common_mean
            return torch.stack([m.to_units((units - mean) / std) for m, mean, std in scaled]).mean(0)
        chosen = first.biomarker_columns
        malignancy = outputs[..., : self._malignancy]
        expected = torch.stack([member.malignancy_in_units(malignancy) for member in self.classifiers()]).mean(0)
        biomarkers = outputs[..., self._malignancy :] * self.biomarker_std[chosen] + self.biomarker_mean[chosen]
        return torch.cat([expected, biomarkers], dim=-1)

    def classifiers(self) -> Iterator[NoduleNetwork]:
        """Every member."""
        for member in self.members:
            assert isinstance(member, NoduleNetwork)
            yield member

    def _common(self, member: NoduleNetwork, outputs: torch.Tensor) -> torch.Tensor:
        """A member's outputs with its z-scores on the ensemble's scale."""
        (own_mean, own_std), (mean, std) = member.scale(), self.scale()
        return (outputs * own_std + own_mean - mean) / std

    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As `NoduleNetwork.scale`: the mean of the members' own."""
        means, stds = zip(*(member.scale() for member in self.classifiers()), strict=True)
        return torch.stack(means).mean(0), torch.stack(stds).mean(0)
