"""The Python API: open a run and a CT, predict and explain its nodules, look at the results, write them.

    import ctxai

    ct = ctxai.open_series("ct-folder")
    results = ctxai.explain(ct, points=[(-57.2, 84.1, -115.9)])
    results.table
    results.maps["cdam", "malignancy"]
    results.write("out")

The command line calls the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import SimpleITK as sitk

from ctxai.annotations import AnnotatedNodule, read_points
from ctxai.ct.series import read_series
from ctxai.ct.volume import CT, CTVolume
from ctxai.ct.volume_file import suffix_of
from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.concept import Concept
from ctxai.explain.contrast import Contrast
from ctxai.inference.nodules import candidates_of
from ctxai.inference.options import ExplainOptions, make_options
from ctxai.inference.results import Results, explain_series
from ctxai.run.device import AUTO
from ctxai.run.run import Run

__all__ = ["Results", "Run", "explain", "open_series", "predict"]

#: An array [slice, row, column] in HU, spacing (column, row, slice) in mm, origin and direction in LPS.
Array: TypeAlias = tuple[np.ndarray, Sequence[float], Sequence[float], Sequence[float] | np.ndarray]
#: Positions (x, y, z) in LPS mm, or a table or file with the columns x, y, z.
Points: TypeAlias = Sequence[Sequence[float]] | Sequence[AnnotatedNodule] | np.ndarray | pd.DataFrame | Path | str


def open_series(
    source: Path | str | sitk.Image | Array, series_uid: str | None = None, acquisitions: Sequence[str] = ()
) -> CT:
    """Open a CT.

    Args:
        source: a folder of DICOM images at any depth; a SimpleITK image in Hounsfield units; or an array
            [slice, row, column] in Hounsfield units with its spacing (column, row, slice) in mm, its origin in LPS mm
            and its direction (3x3) as SimpleITK has them. Origin and direction may be left out: then the first voxel
            lies at 0, 0, 0, and columns run to the left, rows to posterior, slices to superior.
        series_uid: which series, where the folder holds several.
        acquisitions: of a series with several acquisitions the one with this value, such as ``"2"``.

    Raises:
        InputError: when there is no CT series, or several and none was named.
        GeometryError: when the slices are not one regular volume.
    """
    if isinstance(source, str | Path):
        volume = suffix_of(Path(source)) and Path(source).is_file()
        return CTVolume.from_file(Path(source)) if volume else read_series(source, series_uid, acquisitions)
    if isinstance(source, sitk.Image):
        return CTVolume.from_image(source)
    if isinstance(source, tuple) and 2 <= len(source) <= 4:
        return CTVolume(*source)
    raise InputError(
        f"open_series: expected a folder, a SimpleITK image or (array, spacing, origin, direction), found "
        f"{type(source).__name__}; an array needs its spacing"
    )


def explain(
    series: CT | Path | str,
    points: Points | None = None,
    *,
    run: Run | Path | str | None = None,
    methods: Sequence[str | Attribution] = ("cdam",),
    targets: Sequence[str | Contrast | Concept] | None = None,
    views: Sequence[str] | None = None,
    trust: bool = True,
    device: str = AUTO,
) -> Results:
    """Predict the nodules of a CT and explain the predictions.

    Args:
        series: the CT, by :func:`open_series`, or the folder of one.
        points: centres of the nodules in LPS mm: (x, y, z) each, a DataFrame or a CSV with the columns x, y, z and,
            optionally, nodule_id and diameter_mm, or Slicer markups; without it, LIDC-IDRI's annotation of the series.
        run: the model: a run, its folder, or its name; without it, the run that comes with the package.
        methods: names of explanation methods, or methods made for ``run.model`` with options of your own.
        targets: names of outputs, differences of two such as ``spiculation-lobulation``, or concepts; the run's first
            output when not given: malignancy where the run predicts it.
        views: out of axial, coronal, sagittal; those that the run was trained for when not given.
        trust: assess the reliability of every map, for 163 forward passes a view and 16 and eight times its own a map.
        device: auto (a GPU where there is one), cpu, cuda or cuda:1; the run's model is moved there.

    Raises:
        InputError: for an unknown method, target or view, or without a nodule.
        GeometryError: when a nodule lies outside the CT.
    """
    opened = open_series(series) if isinstance(series, str | Path) else series
    chosen = (run if isinstance(run, Run) else Run.open(run)).to(device)
    options = make_options(
        chosen,
        methods,
        targets,
        views=views,
        trust=trust,
        input=Path(series) if isinstance(series, str | Path) else _folder_of(opened),
    )
    return _explained(opened, points, options)


def predict(
    series: CT | Path | str,
    points: Points | None = None,
    *,
    run: Run | Path | str | None = None,
    device: str = AUTO,
) -> pd.DataFrame:
    """Predict the nodules of a CT without explaining them; one row each, with the columns of predictions.csv.

    Args:
        series: as :func:`explain`.
        points: as :func:`explain`.
        run: as :func:`explain`.
        device: as :func:`explain`.

    Raises:
        InputError, GeometryError: as :func:`explain`.
    """
    return explain(series, points, run=run, methods=(), trust=False, device=device).table


def _explained(series: CT, points: Points | None, options: ExplainOptions) -> Results:
    nodules = _as_points(points)
    if nodules is not None:
        nodules = [nodule for nodule in nodules if nodule.series_uid in (None, series.series_uid)]
    candidates = candidates_of(series, nodules)
    if not candidates:
        raise InputError(f"{series.source_label}: no nodule; the points name other series")
    return explain_series(series, candidates, options)


def _folder_of(series: CT) -> Path | None:
    return None if isinstance(series, CTVolume) else series.headers[0].searched or series.headers[0].path.parent


def _as_points(points: Points | None) -> list[AnnotatedNodule] | None:
    """Points of any accepted kind.

    Raises:
        InputError: for anything else, or positions that are not 3 finite numbers.
    """
    if points is None:
        return None
    if isinstance(points, str | Path):
        return read_points(points)
    if isinstance(points, pd.DataFrame):
        return _from_table(points)
    return [
        one if isinstance(one, AnnotatedNodule) else AnnotatedNodule(f"nodule-{number:03d}", _position(one))
        for number, one in enumerate(points, start=1)
    ]


def _from_table(table: pd.DataFrame) -> list[AnnotatedNodule]:
    if missing := [axis for axis in "xyz" if axis not in table.columns]:
        raise InputError(f"points: no column {', '.join(missing)}; expected x, y, z in LPS mm")
    points = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        optional = {name: row[name] for name in ("nodule_id", "series_uid", "diameter_mm") if pd.notna(row.get(name))}
        points.append(
            AnnotatedNodule(
                str(optional.get("nodule_id", f"nodule-{number:03d}")),
                _position([row[axis] for axis in "xyz"]),
                optional.get("series_uid"),
                float(optional["diameter_mm"]) if "diameter_mm" in optional else None,
            )
        )
    return points


def _position(values: Sequence[float]) -> np.ndarray:
    try:
        lps = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        lps = np.empty(0)
    if lps.shape != (3,) or not np.isfinite(lps).all():
        raise InputError(f"points: expected 3 finite numbers, LPS mm, found {values!r}")
    return lps
