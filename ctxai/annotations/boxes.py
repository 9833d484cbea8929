"""Detectors' boxes as JSON: MONAI's detection results and data lists, and nnDetection's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.points import refuse_unlikely
from ctxai.errors import InputError

_SUFFIXES = (".nii.gz", ".nii", ".mhd", ".mha", ".nrrd")


class Boxes(AnnotationSource):
    """Boxes of a detector.

    MONAI: ``box`` or ``boxes`` as (centre x, y, z, width, height, depth) in LPS mm, as LUNA16's annotations and MONAI's
    lung-nodule bundle have them, beside ``image``. nnDetection: ``pred_boxes`` as (low 0, low 1, high 0, high 1, low 2,
    high 2) in the array's axes [slice, row, column], beside ``itk_origin``, ``itk_spacing`` and ``itk_direction``.

    Raises:
        InputError: when the file is missing, of another layout, empty, or a number is not finite.
    """

    name = "boxes"
    description = "JSON boxes of MONAI's and nnDetection's detectors"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        refuse_unlikely(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = list(_nn_detection(content) if _is_nn_detection(content) else _monai(content))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not boxes of MONAI or nnDetection ({type(error).__name__}: {error})") from None
        if not found:
            raise InputError(f"{path}: no box in it")
        self._nodules = [
            AnnotatedNodule(
                f"nodule-{number:03d}",
                centre,
                series,
                float(size.max()),
                columns=columns,
                origin=f"{path}, box {number}",
            )
            for number, (centre, size, series, columns) in enumerate(found, start=1)
        ]
        for nodule in self._nodules:
            if (
                nodule.centre_lps is None
                or not np.isfinite(nodule.centre_lps).all()
                or not (nodule.diameter_mm or 0) > 0
            ):
                raise InputError(f"{nodule.origin}: expected a finite centre and a size above 0")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is JSON with boxes."""
        if not path.name.endswith(".json") or not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(1 << 16)
        return b'"markups"' not in start and any(key in start for key in (b'"box"', b'"boxes"', b'"pred_boxes"'))

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Every box; an image that is named by a series' UID belongs to it."""
        return Annotations(self._nodules)


_Box = tuple[np.ndarray, np.ndarray, str | None, dict[str, str]]


def _is_nn_detection(content: Any) -> bool:
    return isinstance(content, Mapping) and "pred_boxes" in content


def _monai(content: Any) -> Iterator[_Box]:
    """Boxes of every image: of a list, or of the lists of a mapping (``training``, ``validation`` …)."""
    entries = content if isinstance(content, list) else [content]
    for entry in entries:
        if "box" not in entry and "boxes" not in entry:
            for part in entry.values():
                if isinstance(part, list):
                    yield from _monai(part)
            continue
        boxes = np.array(entry.get("box", entry.get("boxes")), float).reshape(-1, 6)
        scores = entry.get("score", entry.get("scores", entry.get("label_scores", [])))
        for number, box in enumerate(boxes):
            columns = {"score": str(scores[number])} if number < len(scores) else {}
            yield box[:3], box[3:], _series(entry.get("image", "")), columns


def _nn_detection(content: Mapping[str, Any]) -> Iterator[_Box]:
    spacing, origin = (np.array(content[f"itk_{name}"], float) for name in ("spacing", "origin"))
    direction = np.array(content["itk_direction"], float).reshape(3, 3)
    scores = content.get("pred_scores", [])
    for number, box in enumerate(np.array(content["pred_boxes"], float).reshape(-1, 6)):
        low, high = box[[0, 1, 4]][::-1], box[[2, 3, 5]][::-1]  # (column, row, slice)
        columns = {"score": str(scores[number])} if number < len(scores) else {}
        yield origin + direction @ ((low + high) / 2 * spacing), (high - low) * spacing, None, columns


def _series(image: object) -> str | None:
    """Series Instance UID that an image is named by."""
    name = Path(str(image)).name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name if name.count(".") >= 3 and name.replace(".", "").isdigit() else None
