"""One nodule: its patch, its prediction, its maps fused from views to the patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ctxai.ct.patch import Patch, extract_patch
from ctxai.ct.series import CTSeries
from ctxai.data.views import PATCH_SPACING_MM, render_views
from ctxai.evaluate.explanations.map_quality import MapReliability, Trust
from ctxai.explain.base import Attribution
from ctxai.explain.fuse import FusedMap, ViewStack, fuse_views
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.targets import NamedTarget, name_of
from ctxai.lidc.agreement import agreement_on
from ctxai.lidc.consensus import ReaderMasks
from ctxai.run.run import Run

#: Size that is taken for a nodule that nobody measured: how far from its centre views are explained.
UNMEASURED_DIAMETER_MM = 12.0
_BATCH = 64


@dataclass(frozen=True, eq=False)
class ExplainedNodule:
    """What is known of a nodule after explanation.

    Attributes:
        candidate: where it is, what readers said.
        patch: voxels about it.
        inside: the readers' 50 % consensus on the patch, bool (superior, posterior, left); None for a point.
        prediction: the run's prediction, by column name.
        maps: fused map of each (method name, target name).
        trust: how far each map can be believed, by the same names, assessed on the views' central slices; empty where
            it was not asked for, and without contrasts and concepts, which are no outputs of the model.
    """

    candidate: NoduleCandidate
    patch: Patch
    inside: np.ndarray | None
    prediction: Mapping[str, float]
    maps: Mapping[tuple[str, str], FusedMap]
    trust: Mapping[tuple[str, str], Trust] = field(default_factory=dict)

    def share_inside(self, method: str, target: str) -> float:
        """Share of the map's positive evidence that lies inside the nodule; NaN without readers or without evidence."""
        positive = np.maximum(self.maps[method, target].values, 0)
        if self.inside is None or not positive.any():
            return float("nan")
        return float(positive[self.inside].sum(dtype=float) / positive.sum(dtype=float))

    def nodule_share(self, method: str, target: str) -> float:
        """Share of the explained voxels that the nodule takes: what chance would give :meth:`share_inside`."""
        covered = self.maps[method, target].covered
        return float("nan") if self.inside is None else float(self.inside[covered].mean())


def explain_nodule(
    series: CTSeries,
    candidate: NoduleCandidate,
    run: Run,
    methods: Sequence[Attribution],
    targets: Sequence[NamedTarget],
    views: Sequence[str],
    trust: bool = False,
) -> ExplainedNodule:
    """Predict a nodule and explain every target by every method, on all slices through the nodule in each view.

    Args:
        series: the CT.
        candidate: the nodule.
        run: the model.
        methods: what explains.
        targets: what is explained.
        views: which views.
        trust: judge every map, too.

    Raises:
        GeometryError: when the nodule's centre lies outside the CT.
    """
    patch = extract_patch(series, candidate.centre_lps, spacing_mm=PATCH_SPACING_MM)
    offsets = slice_offsets(candidate.diameter_mm, run.views.field_of_view_mm)
    images = torch.cat([render_views(patch.hu, view, offsets, run.views) for view in views])
    maps, evaluated = {}, {}
    central = [number * len(offsets) + len(offsets) // 2 for number in range(len(views))]
    gauge = MapReliability(run.model, images[central], run.views, run.target_names)
    for method in methods:
        stacks = torch.cat(
            [method.attribute(block, target=list(targets)) for block in images.split(_BATCH)]
        )  # (view x slice, target, h, w)
        for number, target in enumerate(targets):
            by_view = stacks[:, number].split(len(offsets))
            if trust and isinstance(target, str):
                evaluated[method.name, target] = gauge.assess(method, target, stacks[central, number])
            maps[method.name, name_of(target)] = fuse_views(
                {
                    view: ViewStack(stack, torch.tensor(offsets), run.views.field_of_view_mm)
                    for view, stack in zip(views, by_view, strict=True)
                },
                patch.hu.shape,
                PATCH_SPACING_MM,
                in_plane="nearest" if method.upsampling == "nearest" else "linear",
            )
    prediction = run.predict(patch.hu[None]).iloc[0].to_dict()
    return ExplainedNodule(candidate, patch, _inside(candidate.masks, series, patch), prediction, maps, evaluated)


def slice_offsets(diameter_mm: float | None, field_of_view_mm: float) -> list[float]:
    """Offsets (mm, ascending, 1 mm apart) of the slices that pass through a nodule, within the field of view."""
    radius = (UNMEASURED_DIAMETER_MM if diameter_mm is None else diameter_mm) / 2
    reach = int(min(max(radius, 2.0), field_of_view_mm / 2 - 1))
    return [float(offset) for offset in range(-reach, reach + 1)]


def _inside(masks: ReaderMasks | None, series: CTSeries, patch: Patch) -> np.ndarray | None:
    if masks is None:
        return None
    return agreement_on(masks, series.grid, patch.grid) >= len(masks.masks) / 2
