"""Shared parts of the DICOM annotation sources: objects recognised by SOP class, names of nodules, grids of slices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from ctxai.ct.dicom_errors import PARSE_ERRORS, open_dataset, without_warnings
from ctxai.ct.grid import Grid
from ctxai.ct.header import SliceHeader
from ctxai.errors import InputError, kind_of

#: Names of structures that are nodules, where an object has others, too.
NODULE_WORDS = re.compile(r"nodul|lesion|tumou?r|neoplasm|mass\b|gtv|finding", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def sop_class(path: Path) -> str:
    """SOP Class UID of a file; empty where it is no DICOM file."""
    if not path.is_file():
        return ""
    try:
        with without_warnings():
            return str(
                open_dataset(path, stop_before_pixels=True, specific_tags=["SOPClassUID"]).get("SOPClassUID", "")
            )
    except PARSE_ERRORS:
        return ""


def read_object(path: Path, classes: Sequence[str], kind: str) -> pydicom.Dataset:
    """A DICOM object of one of ``classes``.

    Raises:
        InputError: when it is missing, damaged, or something else.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give {kind}")
    try:
        with without_warnings():
            dataset = open_dataset(path)
            if dataset.get("SOPClassUID") not in classes:
                raise InputError(
                    f"{path}: expected {kind}, found {pydicom.uid.UID(dataset.get('SOPClassUID', '')).name}"
                )
            return dataset
    except PARSE_ERRORS as error:
        raise InputError(f"{path}: not a readable DICOM file ({kind_of(error)}); expected {kind}") from None


def nodule_names(labels: Sequence[str]) -> list[str]:
    """Names of nodules from labels, fit for file names; numbers where labels are empty or equal."""
    cleaned = [_NOT_IN_NAMES.sub("-", label.strip()).strip("-._")[:64].rstrip("-._") for label in labels]
    return [
        name if name and cleaned.count(name) == 1 else f"nodule-{number:03d}"
        for number, name in enumerate(cleaned, start=1)
    ]


def numbers(value: Any, count: int | None = None) -> np.ndarray:
    """Finite numbers of an element.

    Raises:
        ValueError: when there are others, or not ``count``.
    """
    found = np.array([float(one) for one in value])
    if not np.isfinite(found).all() or (count is not None and len(found) != count):
        raise ValueError(f"expected {count or 'finite'} numbers, found {len(found)}")
    return found


def grid_of_slices(headers: Sequence[SliceHeader]) -> Grid:
    """Grid of the slices of a CT, taken as evenly spaced.

    Args:
        headers: the slices, in order.
    """
    first, last = headers[0], headers[-1]
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * first.pixel_spacing_mm[1]
    affine[:3, 1] = first.orientation[3:] * first.pixel_spacing_mm[0]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    affine[:3, 2] = (last.position - first.position) / (len(headers) - 1) if len(headers) > 1 else normal
    affine[:3, 3] = first.position
    return Grid((len(headers), first.rows, first.columns), affine)
