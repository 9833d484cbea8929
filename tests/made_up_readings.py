"""Made-up readings of a synthetic scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ctxai.ct.patch import extract_patch
from ctxai.ct.series import CTSeries, read_series
from ctxai.explain.fuse import FusedMap
from ctxai.export import Provenance, SourceSeries
from ctxai.inference.formats.base import MapOverlay, SeriesOutput
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.nodules import NoduleCandidate
from ctxai.lidc.consensus import ReaderMasks

from synthetic_ct import ct_grid, write_ct

SHAPE = (20, 48, 50)
KEY = ("cdam", "malignancy")
PROVENANCE = Provenance("cdam", "malignancy", run="vits8", weights_sha256="0" * 64)


def scan(folder: Path) -> CTSeries:
    """Noise on 20 slices of 2 mm."""
    hu = np.random.default_rng(0).integers(-1000, 0, SHAPE).astype(np.int16)
    write_ct(folder, hu, ct_grid(SHAPE, (1.0, 1.0, 2.0)))
    return read_series(folder)


def nodule(series: CTSeries, candidate: NoduleCandidate) -> ExplainedNodule:
    """A nodule with a made-up map."""
    patch = extract_patch(series, candidate.centre_lps, spacing_mm=1.0)
    values = np.zeros(patch.hu.shape, np.float32)
    values[30:34, 28:36, 30:40] = 0.5
    fused = FusedMap(values, np.zeros_like(values), np.ones(values.shape, bool))
    return ExplainedNodule(candidate, patch, None, {}, {KEY: fused})


def outlined(series: CTSeries) -> ExplainedNodule:
    """Two readers, who drew other slices and gave other ratings; one rating is beyond its scale."""
    masks = np.zeros((2, 4, 10, 12), dtype=bool)
    masks[0, 0:3, 2:8, 3:9] = True
    masks[1, 1:4, 3:9, 4:11] = True
    readings = ({"malignancy": 4, "texture": 5}, {"malignancy": 2, "texture": 7})
    centre = series.grid.to_lps(np.array([26.0, 25.0, 8.5]))
    candidate = NoduleCandidate("n-1", centre, 7.0, ReaderMasks(masks, (7, 20, 20)), {"malignancy": 3.0}, 2, readings)
    return nodule(series, candidate)


def marked(series: CTSeries) -> ExplainedNodule:
    """A mere point."""
    return nodule(series, NoduleCandidate("point", series.grid.to_lps(np.array([20.0, 21.0, 3.2])), 6.0))


def row(**more: object) -> dict:
    """A nodule's row of predictions.csv."""
    low_and_high = {"malignancy": 3.25, "malignancy_low": 2.0, "malignancy_high": 4.5, "readers_malignancy": 3.0}
    return {"in_sample": False, "malignancy_probability": 0.6} | low_and_high | more


def output_of(folder: Path, series: CTSeries, nodules: Sequence[ExplainedNodule]) -> SeriesOutput:
    """The nodules as formats get them."""
    headers = SourceSeries.from_series(series)
    return SeriesOutput(folder, series, nodules, [row() for _ in nodules], [PROVENANCE], ["sr"], headers=headers)


def overlay_of(series: CTSeries, nodules: Sequence[ExplainedNodule]) -> MapOverlay:
    """Their map."""
    return MapOverlay(PROVENANCE, KEY, nodules, series.grid)
