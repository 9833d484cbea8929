"""Fixtures for the tests of commands: a CT with a sphere, a small phantom tree, stores and untrained runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ctxai.cli import main
from ctxai.data.planted import RECORD
from ctxai.data.settings import ViewConfig
from ctxai.data.store import NoduleStore

from runs import untrained_run
from sphere import SPHERE, centred_grid, sphere_hu
from synthetic_ct import write_ct

#: Two series of two patients; the second has several nodules.
PHANTOM_PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0003")


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
