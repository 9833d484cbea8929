"""Collections of 2-D nodule crops as a nodule store of single slices."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from sklearn.model_selection import StratifiedGroupKFold

from ctxai.data.patches import AIR_HU
from ctxai.data.store import TABLE, NoduleStore
from ctxai.data.views import PATCH_SPACING_MM
from ctxai.errors import StoreError, one_line
from ctxai.lidc.database import RATINGS
from ctxai.progress import track

PIXELS = 64
_TRAITS = RATINGS[:-1]  # malignancy is the last
_RATINGS = ("malignancy", *_TRAITS)
_CONSENSUS_READERS = 3
#: Ratings of one nodule's readers, such as 5|5|4.
_GIVEN = r"[1-6](\.0)?(\|[1-6])*"
#: Pixel spacings of any scanner, and readers of any collection.
_SPACING_MM, _MOST_READERS = (1e-2, 1e1), 100


def import_crops(crops_dir: Path, store_dir: Path, *, folds: int = 5, seed: int = 0) -> NoduleStore:
    """Put a collection of axial crops into a nodule store of patches one slice deep.

    The collection is ``crops.npz`` (``nodule_id`` (N,), ``hu`` int16 (N, H, W), ``mask`` bool (N, H, W) of one
    reader's outline) and ``labels.csv`` (``nodule_id, patient_id, series_uid, pixel_spacing_mm, n_readers``, optional
    ``z_mm``, and the readers' ratings ``readers_<trait>`` such as ``5|5|4``), rows in the same order. Image rows run to
    posterior and columns to the left, and the nodule lies in the middle of its crop.

    Crops are resampled to 1 mm, 64 x 64; ``valid`` says which pixels the crop covers and ``agreement`` is 1 inside the
    outline. ``diameter_mm`` is the longest diameter of that outline. Folds hold whole patients, stratified by the
    label of the nodules with at least three readers; the same seed gives the same folds.

    Args:
        crops_dir: folder with ``crops.npz`` and ``labels.csv``.
        store_dir: store to make.
        folds: number of folds.
        seed: of the folds.

    Raises:
        StoreError: when a file is missing or the two disagree.
    """
    labels, hu, mask = _read(Path(crops_dir))
    store = NoduleStore.create(store_dir, len(labels), (1, PIXELS, PIXELS))
    if (store.path / TABLE).is_file() and [*map(str, store.table["nodule_id"])] != [*map(str, labels["nodule_id"])]:
        raise StoreError(f"{store_dir}: holds a store of other nodules; give an empty folder")
    diameters = []
    for row in track(range(len(labels)), "Resampling crops"):
        spacing = float(labels["pixel_spacing_mm"].iloc[row])
        patch, inside, valid = resample_crop(hu[row], mask[row], spacing)
        store.write(row, patch[None], inside[None], valid[None])
        diameters.append(longest_diameter(mask[row]) * spacing)
    table = _table(labels, np.round(diameters, 3))
    table["fold"] = patient_folds(table, folds, seed)
    store.write_table(table)
    return store


def resample_crop(hu: np.ndarray, mask: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One crop (rows to posterior, columns to the left) on a grid of 64 x 64 pixels of 1 mm with the same centre.

    Returns:
        HU int16 by linear interpolation with air where the crop ends, the outline uint8 and the pixels that the crop
        covers uint8, each (64, 64).
    """
    steps = (np.arange(PIXELS) - (PIXELS - 1) / 2) * PATCH_SPACING_MM / spacing_mm
    rows, columns = (steps + (size - 1) / 2 for size in hu.shape)
    grid = np.meshgrid(rows, columns, indexing="ij")
    covered = [(along > -0.5) & (along < size - 0.5) for along, size in zip(grid, hu.shape, strict=True)]
    valid = covered[0] & covered[1]
    values = map_coordinates(hu.astype(np.float32), grid, order=1, mode="nearest")
    inside = map_coordinates(mask.astype(np.float32), grid, order=1, mode="constant") >= 0.5
    patch = np.where(valid, np.rint(values), AIR_HU).astype(np.int16)
    return patch, (inside & valid).astype(np.uint8), valid.astype(np.uint8)


def longest_diameter(mask: np.ndarray) -> float:
    """Longest distance across a mask (H, W), in pixels, from corner to corner of its pixels; 0 for an empty mask."""
    pixels = np.argwhere(mask).astype(float)
    if not len(pixels):
        return 0.0
    corners = np.concatenate([pixels + shift for shift in ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))])
    return float(pdist(corners[ConvexHull(corners).vertices]).max())


def patient_folds(table: pd.DataFrame, folds: int, seed: int) -> np.ndarray:
    """Fold of every row; all nodules of a patient share one.

    Raises:
        StoreError: when there are fewer patients than folds.
    """
    patients = table["patient_id"]
    if patients.nunique() < folds:
        raise StoreError(f"{patients.nunique()} patients cannot be cut into {folds} folds; give fewer folds")
    label = table["label_malignancy"].fillna(2).astype(int)
    strata = np.where(table["n_readers"] >= _CONSENSUS_READERS, label, 3)
    fold = np.empty(len(table), int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, rows) in enumerate(splitter.split(strata, strata, patients)):
        fold[rows] = number
    return fold


def _read(folder: Path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    for name in ("crops.npz", "labels.csv"):
        if not (folder / name).is_file():
            raise StoreError(f"{folder}: not a crop collection ({name} is missing); expected crops.npz and labels.csv")
    labels = _read_labels(folder / "labels.csv")
    try:
        with np.load(folder / "crops.npz", allow_pickle=False) as file:
            ids, hu, mask = file["nodule_id"], file["hu"], file["mask"]
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"{folder / 'crops.npz'}: expected arrays nodule_id, hu and mask ({error})") from None
    if hu.ndim != 3 or hu.shape != mask.shape or not np.array_equal(ids, labels["nodule_id"].to_numpy()):
        raise StoreError(f"{folder}: crops.npz and labels.csv do not hold the same nodules in the same order")
    return labels, hu, mask


def _read_labels(path: Path) -> pd.DataFrame:
    try:
        labels = pd.read_csv(path)
    except ValueError as error:
        raise StoreError(f"{path}: not a CSV file ({one_line(error)}); get the collection again") from None
    needed = ["nodule_id", "patient_id", "series_uid", "pixel_spacing_mm", "n_readers"]
    rated = [f"readers_{trait.lower()}" for trait in _RATINGS]
    if missing := [name for name in (*needed, *rated) if name not in labels.columns]:
        raise StoreError(f"{path}: columns {', '.join(missing)} are missing")
    sound = {name: labels[name].astype(str).str.fullmatch(_GIVEN) for name in rated}
    sound |= {"pixel_spacing_mm": pd.to_numeric(labels["pixel_spacing_mm"], errors="coerce").between(*_SPACING_MM)}
    sound |= {"n_readers": pd.to_numeric(labels["n_readers"], errors="coerce").between(0, _MOST_READERS)}
    for name, good in sound.items():
        if not good.all():
            line = int(np.argmin(good)) + 2
            raise StoreError(f"{path}, line {line}: {name} is {labels[name].iloc[line - 2]!r}, which it cannot be")
    return labels


def _table(labels: pd.DataFrame, diameters_mm: np.ndarray) -> pd.DataFrame:
    ratings = {trait: labels[f"readers_{trait.lower()}"].astype(str) for trait in _RATINGS}
    values = {trait: [[float(r) for r in text.split("|")] for text in column] for trait, column in ratings.items()}
    median = np.array([np.median(given) for given in values["malignancy"]])
    means = {trait: np.array([np.mean(given) for given in column]) for trait, column in values.items()}
    table = {
        "nodule_id": labels["nodule_id"].astype(str),
        "patient_id": labels["patient_id"].astype(str),
        "series_uid": labels["series_uid"].astype(str),
        "n_readers": labels["n_readers"].astype(int),
        "diameter_mm": diameters_mm,
        "malignancy_ratings": ratings["malignancy"],
        "malignancy_mean": means["malignancy"],
        "malignancy_median": median,
    }
    for trait in _TRAITS:
        table |= {f"{trait}_ratings": ratings[trait], f"{trait}_mean": means[trait]}
    table |= {
        "label_malignancy": np.where(median > 3, 1.0, np.where(median < 3, 0.0, np.nan)),
        "x": np.nan,
        "y": np.nan,
        "z": labels["z_mm"].astype(float) if "z_mm" in labels else float("nan"),
        "fault": "",
    }
    return pd.DataFrame(table)
