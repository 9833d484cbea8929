"""Slicer markups: control points in ``.mrk.json``, in RAS or LPS."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.points import TO_LPS, checked, make_point, refuse_unlikely
from ctxai.errors import InputError


class Markups(AnnotationSource):
    """Control points of a Slicer markups file; unplaced ones are left out.

    Raises:
        InputError: when the file is missing, is no markups file in RAS or LPS, or a position is not finite.
    """

    name = "markups"
    description = "Slicer markups (.mrk.json), in RAS or LPS"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        refuse_unlikely(path)
        self.points = checked(path, _read(path))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the name ends in ``.json``."""
        return path.name.endswith(".json")

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Every placed control point of the file."""
        return Annotations(self.points)


def _read(path: Path) -> list[AnnotatedNodule]:
    points: list[AnnotatedNodule] = []
    try:
        for markup in json.loads(path.read_text(encoding="utf-8"))["markups"]:
            factors = TO_LPS[markup.get("coordinateSystem", "LPS")]
            for control in markup["controlPoints"]:
                if control.get("positionStatus", "defined") != "defined":
                    continue  # named, and not placed yet
                number = len(points) + 1
                position = [float(value) for value in control["position"]]
                points.append(make_point(f"{path}, control point {number}", number, {}, position, factors))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a Slicer markups file in LPS or RAS ({type(error).__name__}: {error}); save the list again"
        ) from None
    return points
