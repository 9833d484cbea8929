"""Forward passes of a run's network over patches: outputs, features and outlines, averaged over views and turns."""

from __future__ import annotations

from collections.abc import Iterator

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


@torch.inference_mode()
def outputs_of_patches(
    model: NoduleNetwork | EnsembleClassifier,
    views: ViewConfig,
    patches: torch.Tensor,
    centres_mm: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Raw outputs (nodule, output) and features (nodule, feature), float32, on the CPU; see `Run.outputs`."""
    outputs = [torch.empty(0, len(model.target_names))]
    features = [torch.empty(0, 0)]
    for part, centres in _batches(model, patches, centres_mm):
        images = render_own_views(part, views, centres_mm=centres)
        flat = images.flatten(0, 1).to(model.device)
        turned = [outputs_and_features(model, turn(flat, number)) for number in range(views.turns)]
        for values, collected in zip(zip(*turned, strict=True), (outputs, features), strict=True):
            collected.append(torch.stack(values).mean(0).unflatten(0, images.shape[:2]).mean(1).cpu())
    return torch.cat(outputs), torch.cat(features[1:] or features)


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
