"""Which slices of a scan the phantom has: one contiguous, evenly spaced run round the nodules."""

from __future__ import annotations

import numpy as np

from ctxai.lidc.database import Nodule, Scan

#: A run longer than this (mm, margins not counted) is cut to the part that holds most labelled nodules.
SPAN_LIMIT_MM = 110.0
_LEAST_SLICES = 8
_LABELLED_READERS = 3


def slice_window(scan: Scan, nodules: tuple[Nodule, ...], margin_mm: float) -> np.ndarray:
    """Positions of the slices to make, ascending and evenly spaced: always some of ``scan.slice_z_mm``.

    The run reaches ``margin_mm`` beyond all nodules where they span at most :data:`SPAN_LIMIT_MM`; otherwise beyond
    those of the stretch of that length that holds most readings of nodules with at least three readers (then most
    readings at all, then the lowest). Without nodules it is the middle of the scan. Where the scan's spacing changes,
    the run stays within one evenly spaced part; where slices are repeated, it has each position once.
    """
    runs = _even_runs(np.unique(scan.slice_z_mm))
    run, low, high = _best_stretch(runs, nodules)
    chosen = run[(run >= low - margin_mm - 1e-3) & (run <= high + margin_mm + 1e-3)]
    if len(chosen) >= min(_LEAST_SLICES, len(run)):
        return chosen
    middle = int(np.abs(run - 0.5 * (low + high)).argmin())
    first = int(np.clip(middle - _LEAST_SLICES // 2, 0, max(len(run) - _LEAST_SLICES, 0)))
    return run[first : first + _LEAST_SLICES]


def _best_stretch(runs: list[np.ndarray], nodules: tuple[Nodule, ...]) -> tuple[np.ndarray, float, float]:
    """The run of slices to use, and the first and last z of the nodules to hold."""
    spans = np.array([_span(nodule) for nodule in nodules]).reshape(-1, 2)
    readers = np.array([len(nodule.readings) for nodule in nodules])
    labelled = np.where(readers >= _LABELLED_READERS, readers, 0)
    options = []
    for run in runs:
        inside = (spans[:, 0] >= run[0] - 1e-3) & (spans[:, 1] <= run[-1] + 1e-3)
        for low, first_high in spans[inside]:
            limit = max(low + SPAN_LIMIT_MM, first_high)
            held = inside & (spans[:, 0] >= low) & (spans[:, 1] <= limit)
            score = (labelled[held].sum(), readers[held].sum(), -low)
            options.append((score, run, float(low), float(spans[held, 1].max())))
    if not options:
        longest = max(runs, key=len)
        middle = float(0.5 * (longest[0] + longest[-1]))
        return longest, middle, middle
    return max(options, key=lambda option: option[0])[1:]


def _span(nodule: Nodule) -> tuple[float, float]:
    z = [contour.z_mm for reading in nodule.readings for contour in reading.contours]
    return min(z), max(z)


def _even_runs(z: np.ndarray) -> list[np.ndarray]:
    """Cut ascending positions wherever their distance changes by more than a hundredth."""
    step = np.diff(z)
    runs, first = [], 0
    for i in range(1, len(step)):
        if abs(step[i] - step[first]) > 0.01 * max(step[first], 1.0):
            runs.append(z[first : i + 1])
            first = i
    runs.append(z[first:])
    return runs
