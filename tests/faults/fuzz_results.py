"""Result folders that somebody else made, as report, send, review and the page of finished results read them."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.errors import CtxaiError
from ctxai.export.nifti import write_nifti
from ctxai.export.provenance import Provenance
from ctxai.files import write_json
from ctxai.generations import SeriesRecord, checksums, dicom_objects
from ctxai.open.finished import FinishedStudy
from ctxai.report.explanation import write_report
from ctxai.report.overview import Overview
from ctxai.results_folder import SERIES_RECORD
from ctxai.viewer.results import reviewed_series

_SERIES, _NODULE = "0123456789ab", "nodule-1"
_PLACE = f"{_SERIES}/nodules/{_NODULE}"
_FILES = (
    "predictions.json",
    f"{_SERIES}/{SERIES_RECORD}",
    "written.json",
    f"{_PLACE}/overview.json",
    f"{_PLACE}/cdam_malignancy.json",
)
_RECORDED = 3
"""Place of the first of the files that the series' record names."""
_OURS = "the user's own"


@cache
def _template() -> Path:
    """A sound result folder, and beside it a folder of the user."""
    root = Path(tempfile.mkdtemp(prefix="ctxai-fuzz-"))
    out, grid = root / "out", Grid.cube(np.zeros(3), (4, 4, 4), 1.0)
    row = {"series": _SERIES, "nodule_id": _NODULE, "x": 1.0, "y": -2.0, "z": 3.0, "in_sample": False}
    row |= {"diameter_mm": 9.0, "n_readers": 4, "malignancy": 3.2, "malignancy_low": 2.0, "malignancy_high": 4.0}
    row |= {"cdam_malignancy_inside": 0.4, "cdam_malignancy_inside_by_chance": 0.1, "untrained_views": "", "run": "run"}
    how = Provenance("cdam", "malignancy", {"samples": 3}, "arXiv:0000.00000", "run", "0" * 64, (_NODULE,))
    write_nifti(out / _PLACE / "ct.nii.gz", np.zeros(grid.shape, np.int16), grid)
    write_nifti(out / _PLACE / "cdam_malignancy.nii.gz", np.ones(grid.shape, np.float32), grid, how)
    images = tuple(range(1, 5))
    overview = Overview((0.5, 0.5), 0.1, "AFRL", 2, 4, images, "left", 1.0, 1.0, 1.0, "B30f")
    write_json(out / _PLACE / "overview.json", overview.as_json())
    _record(out, [row])
    header = {"software": "ctxai 0", "run": "run", "weights_sha256": "0" * 64, "nodules": [row]}
    write_json(out / "predictions.json", header, sort_keys=False)
    write_report(out)
    (root / "victim").mkdir()
    (root / "victim" / "report.html").write_text(_OURS)
    return root


def _record(out: Path, rows: list[dict]) -> None:
    record = SeriesRecord("", None, (), tuple(rows), checksums(out / _SERIES))
    write_json(out / _SERIES / SERIES_RECORD, record.to_json(), sort_keys=False)


def result_file(data: bytes, folder: Path) -> None:
    """A file of a result folder; the first byte says which. Nothing outside of the folder is changed."""
    if not data:
        return
    root, number = folder / "fuzzed", data[0] % len(_FILES)
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(_template(), root)
    out = root / "out"
    (out / _FILES[number]).write_bytes(data[1:])
    if number >= _RECORDED:  # whoever made it made its record, too
        _record(out, json.loads((out / _SERIES / SERIES_RECORD).read_text())["nodules"])
    for read in (write_report, dicom_objects, reviewed_series, FinishedStudy):
        with contextlib.suppress(CtxaiError):
            read(out)
    found = {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()}
    assert found == {"out", "victim"}
    assert [path.read_text() for path in (root / "victim").iterdir()] == [_OURS]


def result_files() -> list[bytes]:
    """Every such file."""
    return [bytes([place]) + (_template() / "out" / name).read_bytes() for place, name in enumerate(_FILES)]
