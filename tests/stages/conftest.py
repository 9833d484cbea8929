"""A small phantom tree and a CT with one sphere, for the stages' tests."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctxai.cli import main
from ctxai.ct.grid import Grid
from ctxai.ct.series import read_series
from ctxai.data.planted import RECORD
from ctxai.data.store import NoduleStore
from ctxai.data.views import ViewConfig
from ctxai.explain import CDAM
from ctxai.models.run import Run
from ctxai.stages.findings import Finding
from ctxai.stages.nodule import ExplainedNodule, explain_nodule

from runs import untrained_run
from synthetic_ct import ct_grid, write_ct

#: Centre of the sphere, LPS mm; it lies in every grid that a test uses.
SPHERE = np.array([4.0, -9.0, 17.0])
#: Two series of two patients; the second has several nodules.
PHANTOM_PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0003")


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
    finding = Finding("sphere", lps, 14.0)
    return explain_nodule(read_series(folder), finding, run, [CDAM(run.model)], ["malignancy"], run.views.views)


@pytest.fixture(scope="session")
def sphere_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An axial CT with the sphere, 40 slices of 2 mm."""
    folder = tmp_path_factory.mktemp("sphere") / "ct"
    grid = centred_grid((40, 96, 100), (0.8, 0.9, 2.0))
    write_ct(folder, sphere_hu(grid), grid)
    return folder


@pytest.fixture
def write_points(tmp_path: Path) -> Callable[[str], Path]:
    """Write points.csv; by default the sphere's centre."""

    def write(text: str = "x,y,z,nodule_id,diameter_mm\n{},{},{},sphere,14\n".format(*SPHERE)) -> Path:
        path = tmp_path / "points.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved untrained run."""
    folder = tmp_path_factory.mktemp("runs") / "untrained"
    untrained_run().save(folder)
    return folder


@pytest.fixture(scope="session")
def phantom_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantom series of :data:`PHANTOM_PATIENTS`."""
    folder = tmp_path_factory.mktemp("phantom") / "dicom"
    assert main(["phantom", str(folder), "--patients", *PHANTOM_PATIENTS, "--margin_mm", "8"]) == 0
    return folder


@pytest.fixture(scope="session")
def phantom_store(phantom_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> NoduleStore:
    """The nodules of the phantom tree."""
    folder = tmp_path_factory.mktemp("phantom") / "store"
    assert main(["ingest", str(phantom_tree), str(folder)]) == 0
    return NoduleStore(folder)


@pytest.fixture(scope="session")
def planted_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dozen single slices with planted cores."""
    folder = tmp_path_factory.mktemp("planted") / "store"
    assert main(["planted", str(folder), "--trait", "core", "--nodules", "24"]) == 0
    return folder


@pytest.fixture(scope="session")
def crops_store(planted_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted nodules as an ordinary store."""
    folder = tmp_path_factory.mktemp("crops") / "store"
    shutil.copytree(planted_store, folder)
    (folder / RECORD).unlink()
    return folder


@pytest.fixture(scope="session")
def axial_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved untrained run for single axial slices."""
    folder = tmp_path_factory.mktemp("runs") / "axial"
    untrained_run(views=ViewConfig(views=("axial",), pixels=32)).save(folder)
    return folder
