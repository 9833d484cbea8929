"""Forward passes of a run's network over patches: outputs, features and outlines, averaged over views and turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from ctxai.data.settings import ViewConfig
from ctxai.data.views import as_patches, render_own_views, turn, turn_back
from ctxai.errors import InputError
from ctxai.models.ensemble import EnsembleClassifier
from ctxai.models.network import NoduleNetwork
from ctxai.run.ood import outputs_and_features

_BATCH = 32


def checked_patches(hu: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Patches (nodule, superior, posterior, left), HU, as a tensor.

    Raises:
        InputError: for another shape, or values that are not finite.
    """
    patches = as_patches(hu)
    if patches.ndim != 4:
        raise InputError(f"patches: expected (nodule, superior, posterior, left), found shape {tuple(patches.shape)}")
    if not torch.isfinite(patches).all():
        bad = int((~torch.isfinite(patches)).flatten(1).any(1).sum())
        raise InputError(f"patches: {bad} of {len(patches)} hold NaN or infinite HU; expected finite numbers")
    return patches


class Passed(NamedTuple):
    """Results of one pass over patches, float32, on the CPU.

    Attributes:
        outputs: raw outputs (nodule, output).
        features: those that novelty is measured in (nodule, feature); of an ensemble, the first network's.
        members: raw outputs of each network of an ensemble (nodule, network, output); no network of a single one.
    """

    outputs: torch.Tensor
    features: torch.Tensor
    members: torch.Tensor


@torch.inference_mode()
def pass_patches(
    model: NoduleNetwork | EnsembleClassifier,
    views: ViewConfig,
    patches: torch.Tensor,
    centres_mm: torch.Tensor | None = None,
) -> Passed:
    """Outputs and features of patches, averaged over views, slices and turns; see `Run.outputs`."""
    members = len(model.members) if isinstance(model, EnsembleClassifier) else 0
    width = len(model.target_names)
    collected = [[torch.empty(0, width)], [torch.empty(0, 0)], [torch.empty(0, members, width)]]
    for part, centres in _batches(model, patches, centres_mm):
        images = render_own_views(part, views, centres_mm=centres)
        flat = images.flatten(0, 1).to(model.device)
        turned = [_pass_images(model, turn(flat, number)) for number in range(views.turns)]
        for values, found in zip(zip(*turned, strict=True), collected, strict=True):
            found.append(torch.stack(values).mean(0).unflatten(0, images.shape[:2]).mean(1).cpu())
    return Passed(*(torch.cat(found[1:] or found) for found in collected))


def _pass_images(model: NoduleNetwork | EnsembleClassifier, images: torch.Tensor) -> Passed:
    """The same of images (image, channel, row, column); each network sees them once."""
    if not isinstance(model, EnsembleClassifier):
        outputs, features = outputs_and_features(model, images)
        return Passed(outputs, features, outputs.new_empty(len(outputs), 0, outputs.shape[1]))
    found = [outputs_and_features(member, own) for member, own in model.each(images)]
    own_outputs = [one for one, _ in found]
    return Passed(model.mean(own_outputs), found[0][1], torch.stack(own_outputs, dim=1))


@torch.inference_mode()
def outlines_of_patches(
    model: NoduleNetwork | EnsembleClassifier,
    views: ViewConfig,
    patches: torch.Tensor,
    centres_mm: torch.Tensor | None = None,
) -> torch.Tensor:
    """Share of each part of the central images that is nodule (nodule, view, side, side); see `Run.outlines`."""
    found = []
    for part, centres in _batches(model, patches, centres_mm):
        images = render_own_views(part, views, (0.0,), centres)
        flat = images.flatten(0, 1).to(model.device)
        turned = [turn_back(model.outline(turn(flat, number)), number) for number in range(views.turns)]
        found.append(torch.stack(turned).mean(0).unflatten(0, images.shape[:2]).float().cpu())
    return torch.cat(found)


def _batches(
    model: NoduleNetwork | EnsembleClassifier, patches: torch.Tensor, centres_mm: torch.Tensor | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    model.eval()
    for start in range(0, len(patches), _BATCH):
        part = slice(start, start + _BATCH)
        yield patches[part], None if centres_mm is None else centres_mm[part]
