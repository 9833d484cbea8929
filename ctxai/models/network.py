"""The network of the nodule classifier: one vision transformer, malignancy and eight biomarkers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ctxai.data.labels import TARGETS
from ctxai.data.settings import LabelKind
from ctxai.data.targets import Target, in_order, own_table
from ctxai.errors import InputError, ModelError
from ctxai.models.backbone import make_backbone
from ctxai.models.heads import AuxiliaryHeads, NoduleHeads, OrdinalHeads
from ctxai.models.mixed_embed import MixedEmbed
from ctxai.models.settings import BackboneConfig, HeadsConfig
from ctxai.models.target_heads import TargetHeads

MIDDLE = 3.0
"""Middle of the malignancy scale: where a logit, and a rating output, is 0."""


class NoduleNetwork(nn.Module):
    """Images (N, 3, H, W) → outputs (N, K), named by ``target_names``: malignancy first, then biomarkers.

    The malignancy output is a logit, or, for the label kind ``rating``, the expected rating minus 3; either way it is
    0 in the middle of the scale and higher where a nodule looks more malignant. With ordinal heads it is the mean of
    four cumulative logits, which the buffer ``rating_scale`` brings to the logit of the expected rating. Biomarkers are
    z-scores of the training nodules; the buffers ``biomarker_mean`` and ``biomarker_std`` (8,) turn them into units.
    Targets of one's own have the outputs and the scales of `TargetHeads` instead.
    ``backbone`` is the one timm vision transformer; its class token, after the final norm, feeds all heads.

    Args:
        backbone: the vision transformer.
        pixels: side of the images.
        initialise: False leaves the weights random, for a caller that loads trained weights.
        targets: what is predicted: some of `TARGETS`, always in the order of `TARGETS`; or targets of one's own.
        label: how malignancy is given (see `targets_of`).
        heads: read-out and auxiliary heads.

    Raises:
        InputError: for targets that do not exist, or options that do not fit each other.
    """

    rating_scale: torch.Tensor
    biomarker_mean: torch.Tensor
    biomarker_std: torch.Tensor

    def __init__(
        self,
        backbone: BackboneConfig,
        pixels: int,
        *,
        initialise: bool = False,
        targets: Sequence[str] | Sequence[Target] = TARGETS,
        label: LabelKind = "soft",
        heads: HeadsConfig | None = None,
    ) -> None:
        super().__init__()
        self.own, self.label = own_table(targets), label
        names = [one for one in targets if isinstance(one, str)]
        self.target_names = in_order(names) if self.own is None else self.own.outputs
        self.backbone = make_backbone(backbone, pixels, initialise)
        width, heads = self.backbone.num_features, heads or HeadsConfig()
        if self.own is not None and heads.auxiliary:
            raise InputError(
                "heads: ordinal read-out and auxiliary heads are learnt from single readers of LIDC-IDRI; "
                "leave them out with targets of your own"
            )
        self.heads: NoduleHeads | OrdinalHeads | TargetHeads
        if self.own is not None:
            self.heads = TargetHeads(width, self.own)
        elif heads.readout == "ordinal":
            self.heads = OrdinalHeads(width, self.target_names, heads)
        else:
            self.heads = NoduleHeads(width, self.target_names)
        if max(heads.beside) > 0:
            embed = self.backbone.patch_embed
            quarters = embed.quarters() if isinstance(embed, MixedEmbed) else None
            self.auxiliary = AuxiliaryHeads(width, embed.grid_size, heads, quarters)
        self.readout, self.uses_auxiliary = heads.readout, heads.auxiliary
        self._places = [] if self.own else [TARGETS.index(name) for name in self.target_names]
        self._malignancy = int("malignancy" in self.target_names)  # how many of the outputs are malignancy's
        if self.own is None:
            self.register_buffer("biomarker_mean", torch.zeros(len(TARGETS) - 1))
            self.register_buffer("biomarker_std", torch.ones(len(TARGETS) - 1))
        if self.readout == "ordinal":
            self.register_buffer("rating_scale", torch.tensor([1.0, 0.0]))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs (N, K) of images (N, 3, H, W)."""
        return self.heads(self.backbone(images))

    @torch.inference_mode()
    def outline(self, images: torch.Tensor) -> torch.Tensor:
        """Share of each part of images (N, 3, H, W) that lies in the nodule, (N, side, side) in [0, 1].

        Raises:
            ModelError: when the classifier has not learnt outlines (``heads.outline``).
        """
        if not self.has_outline:
            raise ModelError("this run has learnt no outlines; train it with heads.outline above 0")
        tokens = self.backbone.forward_features(images)
        return self.auxiliary.outline_logits(tokens[:, self.backbone.num_prefix_tokens :]).sigmoid()

    @property
    def has_outline(self) -> bool:
        """Whether :meth:`outline` is there."""
        return getattr(getattr(self, "auxiliary", None), "outline", None) is not None

    @property
    def biomarker_columns(self) -> list[int]:
        """Which of `BIOMARKERS` are predicted, in the order of the outputs."""
        return [place - 1 for place in self._places[self._malignancy :]]

    def malignancy_in_units(self, outputs: torch.Tensor) -> torch.Tensor:
        """Malignancy outputs as expected ratings from 1 to 5."""
        if self.readout == "ordinal":
            outputs = self.rating_scale[0] * outputs + self.rating_scale[1]
        return MIDDLE + outputs if self.label == "rating" else 1 + 4 * torch.sigmoid(outputs)

    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (K,) of outputs that are z-scores; 0 and 1 of the others."""
        if isinstance(self.heads, TargetHeads):
            return self.heads.scale()
        first, chosen = self._malignancy, self.biomarker_columns
        mean, std = self.biomarker_mean[chosen], self.biomarker_std[chosen]
        return torch.cat([mean.new_zeros(first), mean]), torch.cat([std.new_ones(first), std])

    def to_units(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs (..., K) in the readers' units: malignancy from 1 to 5, biomarkers de-standardised.

        Of targets of one's own: see `TargetHeads.to_units`.
        """
        if isinstance(self.heads, TargetHeads):
            return self.heads.to_units(outputs)
        first, rest = outputs[..., : self._malignancy], outputs[..., self._malignancy :]
        chosen = self.biomarker_columns
        biomarkers = rest * self.biomarker_std[chosen] + self.biomarker_mean[chosen]
        return torch.cat([self.malignancy_in_units(first), biomarkers], dim=-1)
