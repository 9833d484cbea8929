"""Slicer markups (``.mrk.json``): points, lines and regions of interest, in RAS or LPS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.dicom_objects import nodule_names
from ctxai.annotations.points import TO_LPS, checked, make_point, refuse_unlikely
from ctxai.errors import InputError

_UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3}


class Markups(AnnotationSource):
    """Marks of a Slicer markups file: a nodule a control point, a line (diameter) or a region of interest (size).

    Control points that are not placed are left out. Source: 3D Slicer's markups schema 1.0.3.

    Raises:
        InputError: when the file is missing, is no markups file in RAS or LPS, a position is not finite, or a mark such
            as a plane or an angle is no nodule.
    """

    name = "markups"
    description = "Slicer markups (.mrk.json): points, lines (the diameter) and ROIs (the size), in RAS or LPS"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        refuse_unlikely(path)
        self.points = checked(path, _read(path))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the name ends in ``.json`` and it holds no detector's boxes."""
        from ctxai.annotations.boxes import Boxes

        return path.name.endswith(".json") and not Boxes.recognises(path)

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Every placed mark of the file."""
        return Annotations(self.points)


def _read(path: Path) -> list[AnnotatedNodule]:
    try:
        marks = [
            mark for markup in json.loads(path.read_text(encoding="utf-8"))["markups"] for mark in _marks(path, markup)
        ]
        names = nodule_names([label for label, _, _ in marks])
        return [
            make_point(
                f"{path}, control point {number}",
                number,
                {"nodule_id": name} | ({} if diameter is None else {"diameter_mm": str(diameter)}),
                position.tolist(),
                np.ones(3),
            )
            for number, ((_, position, diameter), name) in enumerate(zip(marks, names, strict=True), start=1)
        ]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a Slicer markups file in LPS or RAS ({type(error).__name__}: {error}); save the list again"
        ) from None


def _marks(path: Path, markup: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, float | None]]:
    """Label, position (LPS mm) and diameter (mm) of every mark."""
    kind = markup.get("type", "Fiducial")
    factors = TO_LPS[markup.get("coordinateSystem", "LPS")] * _unit(markup.get("coordinateUnits", "mm"))
    placed = [
        (str(control.get("label") or ""), factors * np.array([float(value) for value in control["position"]]))
        for control in markup.get("controlPoints", [])
        if control.get("positionStatus", "defined") == "defined"
    ]
    if kind == "Fiducial":
        if "controlPoints" not in markup:
            raise KeyError("controlPoints")
        for label, position in placed:
            yield label, position, None
    elif kind == "Line":
        if len(placed) == 2:
            (label, first), (_, second) = placed
            yield label, (first + second) / 2, float(np.linalg.norm(second - first))
    elif kind == "ROI":
        centre = markup["center"] if markup.get("center") is not None else placed[0][1] / factors
        size = np.abs(np.array([float(value) for value in markup["size"]])) * abs(factors[2])
        yield "", factors * np.array([float(value) for value in centre]), float(size.max())
    else:
        raise InputError(f"{path}: a markup of the type {kind!r} is no nodule; expected Fiducial, Line or ROI")


def _unit(unit: object) -> float:
    """Millimetres of a unit, or of the same one for all axes."""
    units = set(unit) if isinstance(unit, list) else {unit}
    if len(units) != 1 or (name := units.pop()) not in _UNITS_MM:
        raise ValueError(f"coordinateUnits {unit!r}, expected one of {', '.join(_UNITS_MM)}")
    return _UNITS_MM[name]
