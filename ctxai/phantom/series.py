"""One scan of LIDC-IDRI as a folder of synthetic slices."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from ctxai.files import atomic_folder
from ctxai.lidc.database import Nodule, Scan
from ctxai.phantom.scanner.dicom import series_header, write_slice
from ctxai.phantom.scanner.render import INTERCEPT, ROWS, Chest
from ctxai.phantom.slice_range import slice_window


def series_folder(scan: Scan, out_dir: Path) -> Path:
    """Folder of a scan's slices: ``out_dir/<patient>/<study UID>/synthetic-<series UID>``.

    A real tree has no folder of this name, and pylidc finds it by the UIDs in its files.
    """
    return out_dir / scan.patient_id / scan.study_uid / f"synthetic-{scan.series_uid}"


def make_series(
    scan: Scan,
    nodules: tuple[Nodule, ...],
    out_dir: Path | str,
    *,
    seed: int = 0,
    margin_mm: float = 16.0,
    planted: str | None = None,
) -> Path:
    """Write the synthetic series of ``scan``; the folder appears whole, and one that is there already is kept.

    Args:
        scan: gives UIDs, pixel spacing and slice positions.
        nodules: all nodules of the scan.
        out_dir: root of the tree.
        seed: the same seed gives the same bytes.
        margin_mm: how far the slices reach beyond the nodules.
        planted: draw this trait of the nodules alone from the ratings.

    Returns:
        The series' folder, with files named by instance number.

    Raises:
        InputError: when the folder cannot be written or ``planted`` names no trait.
    """
    folder = series_folder(scan, Path(out_dir))
    if folder.is_dir():
        return folder
    _sweep(folder)
    z_mm = slice_window(scan, nodules, margin_mm)
    chest = Chest(scan, nodules, z_mm, seed, planted)
    header = series_header(scan, chest.scanner, ROWS, INTERCEPT, seed)
    top = len(np.unique(scan.slice_z_mm)) - 1 - int(np.searchsorted(np.unique(scan.slice_z_mm), z_mm[-1]))
    with atomic_folder(folder) as temporary:
        for k, stored in enumerate(chest.slices()):
            number = top + len(z_mm) - k  # scanned from the head down, as most of LIDC-IDRI is
            content = (seed, margin_mm, planted)
            write_slice(temporary / f"{number:04d}.dcm", header, stored, float(z_mm[k]), number, content)
    return folder


def _sweep(folder: Path) -> None:
    """Remove what a killed run left beside ``folder``."""
    for stale in folder.parent.glob(f".*.partial.{folder.name}"):
        owner = stale.name.split(".")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and int(owner) != os.getpid():
            shutil.rmtree(stale, ignore_errors=True)
