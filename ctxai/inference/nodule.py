"""One nodule: its patch, its prediction, its maps fused from views to the patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ctxai.ct.patch import Patch, extract_patch
from ctxai.ct.volume import CT
from ctxai.data.views import PATCH_SPACING_MM
from ctxai.evaluate.map_quality import MapReliability, Trust
from ctxai.explain.base import Attribution
from ctxai.explain.fuse import FusedMap
from ctxai.inference.mark_check import check_mark
from ctxai.inference.nodules import NoduleCandidate
from ctxai.lidc.agreement import agreement_on
from ctxai.lidc.consensus import ReaderMasks
from ctxai.run.explanation import explain_patch, seen_nodule
from ctxai.run.run import Run
from ctxai.run.targets import NamedTarget


@dataclass(frozen=True, eq=False)
class ExplainedNodule:
    """A nodule with its prediction and maps.

    Attributes:
        candidate: place, size and readers' ratings.
        patch: voxels about it.
        inside: the readers' 50 % consensus on the patch, bool (superior, posterior, left); None for a point.
        seen: of a point, the nodule as the run itself sees it on the slices that it reads, likewise; None of a run that
            has learnt no outlines.
        prediction: the run's prediction, by column name.
        maps: fused map of each (method name, target name).
        trust: how far each map can be believed, by the same names; empty where it was not asked for, and without
            contrasts and concepts, which are no outputs of the model.
        mark: whether a nodule lies there, by column name, see :func:`~ctxai.inference.mark_check.check_mark`.
    """

    candidate: NoduleCandidate
    patch: Patch
    inside: np.ndarray | None
    prediction: Mapping[str, float]
    maps: Mapping[tuple[str, str], FusedMap]
    trust: Mapping[tuple[str, str], Trust] = field(default_factory=dict)
    mark: Mapping[str, float] = field(default_factory=dict)
    seen: np.ndarray | None = None

    @property
    def outline(self) -> np.ndarray | None:
        """The readers' consensus, or else the nodule as the run sees it."""
        return self.seen if self.inside is None else self.inside

    def share_inside(self, method: str, target: str) -> float:
        """Share of the map's positive evidence that lies inside the outline; NaN without outline or evidence."""
        positive, outline = np.maximum(self.maps[method, target].values, 0), self.outline
        if outline is None or not positive.any():
            return float("nan")
        return float(positive[outline].sum(dtype=float) / positive.sum(dtype=float))

    def nodule_share(self, method: str, target: str) -> float:
        """Share of the explained voxels that the nodule takes: what chance would give :meth:`share_inside`."""
        covered = self.maps[method, target].covered
        return float("nan") if self.outline is None else float(self.outline[covered].mean())


def explain_nodule(
    series: CT,
    candidate: NoduleCandidate,
    run: Run,
    methods: Sequence[Attribution],
    targets: Sequence[NamedTarget],
    views: Sequence[str],
    trust: bool = False,
) -> ExplainedNodule:
    """Predict a nodule and explain every target by every method, on the slices of each view that the run reads.

    Args:
        series: the CT.
        candidate: the nodule.
        run: the model.
        methods: explanation methods of the run's model.
        targets: what is explained.
        views: out of axial, coronal, sagittal.
        trust: assess the reliability of every map of an output.

    Raises:
        GeometryError: when the nodule's centre lies outside the CT.
    """
    patch = marked = extract_patch(series, candidate.centre_lps, spacing_mm=PATCH_SPACING_MM)
    moved = run.recentre(patch.hu[None])[0].double().numpy()
    if moved.any():
        patch = extract_patch(series, candidate.centre_lps + moved[::-1], spacing_mm=PATCH_SPACING_MM)
    spacing = np.abs(series.grid.affine[:3, :3]).max(axis=1)[::-1]
    found = explain_patch(run, patch.hu, methods, targets, views, spacing_mm=spacing)
    assessed = {}
    if trust and methods:
        device = run.model.device
        reliability = MapReliability(run.model, found.images.to(device), run.views, run.target_names)
        for method in methods:
            for target in targets:
                if isinstance(target, str):
                    key = method.name, target
                    assessed[key] = reliability.assess(method, target, found.image_maps[key].to(device))
    inside = _inside(candidate.masks, series, patch)
    seen = seen_nodule(run, patch.hu, spacing) if inside is None and methods else None
    mark = check_mark(run, marked.hu, patch.hu, found.prediction.get("diameter"))
    if run.views.recentre_mm:
        mark |= {f"middle_{axis}": round(float(at), 3) for axis, at in zip("xyz", patch.grid.centre, strict=True)}
    return ExplainedNodule(candidate, patch, inside, found.prediction, found.fused, assessed, mark, seen)


def _inside(masks: ReaderMasks | None, series: CT, patch: Patch) -> np.ndarray | None:
    if masks is None:
        return None
    return agreement_on(masks, series.grid, patch.grid) >= len(masks.masks) / 2
