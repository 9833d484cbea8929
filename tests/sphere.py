"""A CT with one sphere, and what tests read from a result folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.ct.series import read_series
from ctxai.explain import CDAM
from ctxai.inference.nodule import ExplainedNodule, explain_nodule
from ctxai.inference.nodules import NoduleCandidate
from ctxai.run.run import Run

from synthetic_ct import ct_grid

#: Centre of the sphere, LPS mm; it lies in every grid that a test uses.
SPHERE = np.array([4.0, -9.0, 17.0])


def sphere_hu(grid: Grid, radius_mm: float = 7.0) -> np.ndarray:
    """A soft-edged sphere with a dense cap towards left, posterior and superior, in lung: alike along no axis."""
    slices, rows, columns = np.meshgrid(*map(np.arange, grid.shape), indexing="ij")
    offset = grid.to_lps(np.stack([columns, rows, slices], axis=-1)) - SPHERE
    distance = np.linalg.norm(offset, axis=-1)
    cap = np.linalg.norm(offset - radius_mm * np.array([0.5, 0.3, 0.4]), axis=-1)
    hu = -850 + 880 / (1 + np.exp((distance - radius_mm) / 0.8)) + 400 / (1 + np.exp((cap - 3) / 0.8))
    return np.rint(hu).astype(np.int16)


def centred_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], **options: object) -> Grid:
    """A grid whose middle is a few millimetres from the sphere's centre."""
    grid = ct_grid(shape, spacing_mm, (0.0, 0.0, 0.0), **options)
    affine = grid.affine.copy()
    affine[:3, 3] += SPHERE + np.array([2.3, -1.7, 0.9]) - grid.centre
    return Grid(grid.shape, affine)


def predictions(folder: Path) -> list[dict[str, str]]:
    """The lines of predictions.csv in a result folder."""
    with (folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def only(folder: Path, pattern: str) -> Path:
    """The one file of that name."""
    (path,) = folder.glob(pattern)
    return path


def nodule_at(folder: Path, lps: np.ndarray, run: Run) -> ExplainedNodule:
    """The nodule at a place, explained by CDAM on the run's own views."""
    candidate = NoduleCandidate("sphere", lps, 14.0)
    return explain_nodule(read_series(folder), candidate, run, [CDAM(run.model)], ["malignancy"], run.views.views)
