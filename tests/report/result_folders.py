"""Made-up result folders of ``ctxai explain``: what a report needs, without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.export.nifti import write_nifti
from ctxai.export.provenance import Provenance
from ctxai.generations import SeriesRecord, checksums
from ctxai.results_folder import SERIES_RECORD, is_series_key

GRID = Grid.cube(np.zeros(3), (64, 64, 64), 1.0)
#: Evidence for the target: a block from (superior, posterior, left) to, not symmetric in any axis.
FOR_BLOCK = ((40, 24, 42), (46, 30, 48))
#: Evidence against it.
AGAINST_BLOCK = ((18, 42, 20), (22, 46, 24))


def row(nodule_id="LIDC-IDRI-0001-01", **changes):
    """A line of predictions.csv."""
    targets = {
        name: value
        for target in ("malignancy", "diameter")
        for name, value in ((target, 3.21), (f"{target}_low", 2.1), (f"{target}_high", 4.3))
    }
    known = {"series": "abc", "nodule_id": nodule_id, "x": 1.0, "y": -2.0, "z": 3.04, "in_sample": False}
    known |= {"diameter_mm": 9.87, "n_readers": 4, "readers_malignancy": 4.75, "malignancy_probability": 0.25}
    shares = {"cdam_malignancy_inside": 0.4, "cdam_malignancy_inside_by_chance": 0.1}
    return known | targets | shares | {"untrained_views": "", "run": "run"} | changes


def block(low, high):
    """1 in a block of the patch, 0 elsewhere."""
    values = np.zeros(GRID.shape, np.float32)
    values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return values


def write_crops(folder: Path, nodule: dict, maps: dict[tuple[str, str], np.ndarray] | None = None) -> None:
    """The NIfTI files of a nodule: a ball in lung, the readers' outline and maps by (method, target)."""
    place = folder / nodule["series"] / "nodules" / nodule["nodule_id"]
    distance = np.linalg.norm(np.indices(GRID.shape) - 31.5, axis=0)
    hu = np.where(distance < 8, 30, -850) + np.random.default_rng(0).integers(-20, 20, GRID.shape)
    write_nifti(place / "ct.nii.gz", hu.astype(np.int16), GRID)
    readers = Provenance("readers", "50 % consensus", explained=(nodule["nodule_id"],))
    write_nifti(place / "readers.nii.gz", distance < 8, GRID, readers)
    for (method, target), values in (maps or {("cdam", "malignancy"): evidence()}).items():
        how = Provenance(method, target, {"samples": 3}, "arXiv:0000.00000", "run", "0" * 64, (nodule["nodule_id"],))
        write_nifti(place / f"{how.stem}.nii.gz", values, GRID, how)


def evidence() -> np.ndarray:
    """A map with evidence for and, weaker, against."""
    return block(*FOR_BLOCK) - 0.8 * block(*AGAINST_BLOCK)


def write_predictions(folder: Path, rows: list[dict], run: str = "run") -> None:
    """``predictions.json``, and the record of each series over the files that are there."""
    content = {"software": "ctxai 0", "run": run, "weights_sha256": "0" * 64, "nodules": rows}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "predictions.json").write_text(json.dumps(content))
    for series in {str(one["series"]) for one in rows if is_series_key(str(one["series"]))}:
        write_record(folder / series, [one for one in rows if str(one["series"]) == series])


def write_record(folder: Path, rows: Sequence[dict] = ()) -> None:
    """The record of a series over the files that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    record = SeriesRecord("", None, (), tuple(rows), checksums(folder))
    (folder / SERIES_RECORD).write_text(json.dumps(record.to_json()))
