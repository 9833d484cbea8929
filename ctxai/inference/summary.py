"""Summary of each explained nodule for reports: its row of predictions.csv and the readers' outlines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from ctxai.ct.volume import CT
from ctxai.data.labels import SCALES
from ctxai.data.targets import Target, TargetTable
from ctxai.export.nodule_summary import Doubt, Estimate, NamedValue, NoduleSummary
from ctxai.export.outline import Outline, outline_of_mask, outline_of_point
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.nodules import NoduleCandidate
from ctxai.report.ratings import rated_names
from ctxai.report.trust import Level, map_trust, warnings_of
from ctxai.run.explanation import UNMEASURED_DIAMETER_MM

#: Name of the figure that has no scale, in words.
FIDELITY = "fidelity, 0 knows nothing"
#: Endings of the columns that tell how far a map can be trusted: in words, and what turns the number into a share.
_TRUST = {
    "_fidelity_percentile": ("random maps it beats", 100.0),
    "_fidelity": (FIDELITY, None),
    "_stability": ("stability, 1 unmoved", None),
    "_sanity": ("depends on the weights", None),
    "_inside": ("evidence inside the nodule", 1.0),
}


def summarise_nodule(
    series: CT, nodule: ExplainedNodule, row: Mapping[str, Any], own: TargetTable | None = None
) -> NoduleSummary:
    """One nodule with its prediction, the readers' ratings and the trust figures.

    Args:
        series: the CT.
        nodule: the nodule.
        row: its line of predictions.csv; columns that other versions lack may be absent.
        own: targets of one's own, in place of LIDC-IDRI's.
    """
    candidate = nodule.candidate
    masks = candidate.masks
    consensus = None if masks is None or not masks.consensus().any() else masks.consensus()
    return NoduleSummary(
        nodule_id=candidate.nodule_id,
        outline=outline_of(series, candidate),
        estimates=tuple(_estimates(row) if own is None else _own_estimates(row, own)),
        figures=(*_own_figures(row, own or ()), *_figures(row, nodule)),
        ratings=candidate.readings,
        volume_mm3=None if consensus is None else float(consensus.sum()) * series.grid.voxel_volume_mm3,
        diameter_mm=candidate.diameter_mm,
        doubts=tuple(_doubts(row, nodule)),
    )


def outline_of(series: CT, candidate: NoduleCandidate) -> Outline:
    """The border of the readers' consensus; of a point, and where the readers agree on no voxel, a circle."""
    if candidate.masks is not None and candidate.masks.consensus().any():
        return outline_of_mask(candidate.masks.consensus(), candidate.masks.start)
    return outline_of_point(series.grid, candidate.centre_lps, candidate.diameter_mm or UNMEASURED_DIAMETER_MM)


def _estimates(row: Mapping[str, Any]) -> Iterator[Estimate]:
    for name in rated_names(row):
        readers = row.get("diameter_mm") if name == "diameter" else row.get(f"readers_{name}")
        ends = row[f"{name}_low"], row[f"{name}_high"]
        yield Estimate(name, row[name], *ends, readers, SCALES[name], spread=_spread(row, name))


def _own_estimates(row: Mapping[str, Any], own: TargetTable) -> Iterator[Estimate]:
    for one in own:
        if one.kind in ("ordinal", "regression") and _known(row.get(one.name)):
            low, high = (row.get(f"{one.name}_{end}") for end in ("low", "high"))
            spread = _spread(row, one.name)
            yield Estimate(
                one.name, row[one.name], low, high, scale=one.limits, ucum=one.unit, code=one.code, spread=spread
            )


def _own_figures(row: Mapping[str, Any], own: Iterable[Target]) -> Iterator[NamedValue]:
    """Probabilities of classes; the concept that is given stands for the one of a binary target."""
    for one in own:
        single = one.kind == "binary"
        labels = one.classes[1:] or ("",) if single else one.classes
        for output, label in zip(one.outputs, labels, strict=True) if single or one.kind == "multiclass" else ():
            value, low, high = (row.get(f"{output}_probability{end}") for end in ("", "_low", "_high"))
            if _known(value):
                words = f"{one.name.replace('_', ' ').capitalize()}{label and f', {label}'}: probability"
                code, spread = one.code if single else None, _spread(row, f"{output}_probability")
                yield NamedValue(words, value, True, low=low, high=high, code=code, spread=spread)


def _figures(row: Mapping[str, Any], nodule: ExplainedNodule) -> Iterator[NamedValue]:
    if _known(row.get("malignancy_probability")):
        ends = (row.get(f"malignancy_probability_{end}") for end in ("low", "high"))
        yield NamedValue("Probability of a median rating over 3", row["malignancy_probability"], True, False, *ends)
    if _known(row.get("novelty_percentile")):
        yield NamedValue("Training nodules less unusual than this one", row["novelty_percentile"] / 100, percent=True)
    for method, target in nodule.maps:
        for ending, (words, whole) in _TRUST.items():
            value = row.get(f"{method}_{target}{ending}")
            if _known(value):
                seen = ending == "_inside" and row.get("outline_by_readers") is False
                name = f"{words_of(method, target)}: {words}{' as the model sees it' if seen else ''}"
                answer = ending == "_sanity"
                yield NamedValue(name, float(value) / (whole or 1), percent=whole is not None, answer=answer)


def _doubts(row: Mapping[str, Any], nodule: ExplainedNodule) -> Iterator[Doubt]:
    """The gravest first."""
    warnings = warnings_of(row)
    yield from (Doubt(one.level.value, one.text) for one in warnings if one.level is not Level.NOTE)
    for method, target in nodule.maps:
        for reason in map_trust(row, f"{method}_{target}").warnings:
            yield Doubt(f"{Level.MAP.value} {words_of(method, target)}", f"{reason}.")
    yield from (Doubt(one.level.value, one.text, grave=False) for one in warnings if one.level is Level.NOTE)


def words_of(method: str, target: str) -> str:
    """A map's name for people."""
    return f"{method} {target}".replace("_", " ")


def _spread(row: Mapping[str, Any], column: str) -> float | None:
    value = row.get(f"{column}_spread")
    return value if _known(value) else None


def _known(value: Any) -> TypeGuard[float]:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
