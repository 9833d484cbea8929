"""Result folder of ``ctxai explain`` as a study with answers, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ctxai.ct.grid import Grid
from ctxai.ct.header import series_key
from ctxai.ct.volume import CTVolume
from ctxai.ct.volume_file import read_image
from ctxai.data.targets import TargetTable
from ctxai.errors import InputError
from ctxai.export.overlay import to_ct_grid
from ctxai.generations import recorded_files
from ctxai.open.answers import DONE, FAILED, Answer, Question, warnings_about
from ctxai.open.marks import Mark
from ctxai.open.study import OpenedSeries
from ctxai.report.crops import Crops, find_crops
from ctxai.report.results import read_results
from ctxai.results_folder import CT_NIFTI

_NO_MODEL = "finished results are shown without a model: open the CT itself"


class FinishedStudy:
    """The CTs of a result folder: whole where the format ``ct`` was written, else the patch about each nodule.

    It stands for a :class:`~ctxai.open.study.Study` and for the :class:`~ctxai.open.answers.Answers` to it.

    Args:
        folder: results of ``ctxai explain``, with maps.

    Attributes:
        series: by key.
        given: the explained nodules.
        fault: empty.

    Raises:
        InputError: for a folder that is damaged, or has no CT of any nodule.
    """

    fault = ""

    def __init__(self, folder: Path) -> None:
        self.results = read_results(folder)
        self.series: dict[str, OpenedSeries] = {}
        self.given: list[Mark] = []
        self._nodules: dict[tuple[str, str], tuple[Mapping[str, Any], Crops]] = {}
        for row in self.results.rows:
            crops = find_crops(folder / row["series"], row)
            if crops is not None:
                self._add(folder / row["series"], row, crops)
        if not self._nodules:
            raise InputError(f"{folder}: no nodule has a map; run `ctxai explain` with maps, or open the CT itself")

    def _add(self, folder: Path, row: Mapping[str, Any], crops: Crops) -> None:
        whole = folder / CT_NIFTI
        uid = str(row.get("SeriesInstanceUID") or row["series"])
        if recorded_files(folder, CT_NIFTI):
            key, path, name = folder.name, whole, f"series {folder.name}"
        else:
            key = series_key(f"{folder.name}/{row['nodule_id']}")
            path, name = crops.ct, f"64 mm about {row['nodule_id']}, series {folder.name}"
        texts = {"SeriesDescription": name}
        self.series.setdefault(key, OpenedSeries(uid, lambda: _read_ct(path), texts, key=key, owner=folder.name))
        x, y, z = (float(row[axis]) for axis in "xyz")
        mark = Mark(key, row["nodule_id"], x, y, z, diameter_mm=row.get("diameter_mm"), source="results")
        self.given.append(mark)
        self._nodules[mark.key] = row, crops

    def close(self) -> None:
        """Nothing is open."""

    def start(self) -> None:
        """Nothing is to be loaded."""

    def end(self) -> None:
        """Nothing runs."""

    @property
    def own(self) -> TargetTable | None:
        """The table of targets of one's own; None where LIDC-IDRI's were predicted."""
        return self.results.own

    def described(self) -> dict[str, Any]:
        """Run, targets and methods of the maps."""
        maps = [one for _, crops in self._nodules.values() for one in crops.maps]
        return {
            "name": self.results.run,
            "weights_sha256": self.results.weights_sha256,
            "targets": list(dict.fromkeys(one.target for one in maps)),
            "methods": list(dict.fromkeys(one.method for one in maps)),
            "own": self.own is not None,
        }

    @contextmanager
    def model(self) -> Iterator[Any]:
        """Refuse: finished results have no model.

        Raises:
            InputError: always.
        """
        raise InputError(f"{_NO_MODEL}; the DICOM objects of these results are in their folder")
        yield

    def ask(self, series: OpenedSeries, question: Question) -> Answer:
        """Row, map and warnings of a nodule from the results."""
        mark = question.mark
        row, crops = self._nodules.get(mark.key, ({}, None))
        if crops is None or mark.lps != (row["x"], row["y"], row["z"]):
            return Answer(FAILED, error=f"{_NO_MODEL} to ask about another place")
        found = [one for one in crops.maps if (one.method, one.target) == (question.method, question.target)]
        warnings = warnings_about(row, found[0].column if found else None)
        if not found:
            error = f"these results have no map of {question.method} for {question.target}"
            return Answer(FAILED, row, warnings=warnings, error=error)
        try:
            values, grid = _read(found[0].path)
            block = to_ct_grid(values.astype(np.float32), grid, series.ct.grid)
            start, turned = series.planes.block(block.start, block.values)
        except InputError as error:
            return Answer(FAILED, row, warnings=warnings, error=str(error))
        return Answer(DONE, row, start=start, values=turned, warnings=warnings)


def _read(path: Path) -> tuple[np.ndarray, Grid]:
    image, grid = read_image(path)
    return sitk.GetArrayFromImage(image), grid


def _read_ct(path: Path) -> CTVolume:
    image, _ = read_image(path)
    return CTVolume.from_image(image)
