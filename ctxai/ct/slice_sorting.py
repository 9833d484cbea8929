"""Slices of a series put in order: which are used, where they lie, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ctxai.ct.acquisitions import one_acquisition, without_copies
from ctxai.ct.geometry import FEW_SLICES, SPARSE_RATIO, Fault, GeometryReport, GeometryRules, spacing_faults
from ctxai.ct.grid import Grid
from ctxai.ct.header import SliceHeader
from ctxai.errors import GeometryError

_SAME_POSITION_MM = 1e-3
#: How far, in pixels, a slice may lie beside the line through the first and the last one.
_SHIFT_PIXELS = 0.25


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order along the normal of the image plane.

    Attributes:
        headers: the slices that are used.
        report: all faults found.
        grid: a regular grid from the first to the last slice; None when a fault blocks.
        slice_coordinates: where each slice lies on the slice axis of ``grid``: 0, 1, 2 … for a regular series.
    """

    headers: tuple[SliceHeader, ...]
    report: GeometryReport
    grid: Grid | None
    slice_coordinates: np.ndarray


def is_volume(headers: Sequence[SliceHeader]) -> bool:
    """Whether images other than localizers lie at two positions at least: scouts and bolus tracking are no volume."""
    slices = [header for header in headers if "LOCALIZER" not in header.image_type]
    return len({tuple(np.round(header.position, 2)) for header in slices}) > 1


def longest_run(headers: Sequence[SliceHeader], low_mm: float, high_mm: float) -> Sequence[SliceHeader] | None:
    """Slices between two missing ones that cover a range along the normal of the image plane.

    Args:
        headers: slices in order, at different positions.
        low_mm: beginning of the range, as the projection of LPS mm on the normal.
        high_mm: end of the range; a range may end beyond the scan, and not beyond a missing slice.

    Returns:
        None where a missing slice lies within the range.
    """
    normal = np.cross(headers[0].orientation[:3], headers[0].orientation[3:])
    distances = np.array([header.position @ normal for header in headers])
    gaps = np.diff(distances)
    breaks = [0, *(np.flatnonzero(gaps > 1.5 * np.median(gaps)) + 1).tolist(), len(headers)]
    for start, stop in pairwise(breaks):
        begins = start == 0 or distances[start] <= low_mm
        ends = stop == len(headers) or distances[stop - 1] >= high_mm
        if begins and ends and distances[start] <= high_mm and distances[stop - 1] >= low_mm:
            return headers[start:stop]
    return None


def stack(headers: Sequence[SliceHeader], rules: GeometryRules) -> Stack:
    """Put the images of a series in order, name every fault, and repair those that the rules name.

    Raises:
        GeometryError: when there is nothing but localizers.
    """
    slices = [header for header in headers if "LOCALIZER" not in header.image_type]
    if not slices:
        raise GeometryError(f"{headers[0].source_label if headers else 'series'}: no CT slice besides localizers")
    faults: dict[Fault, str] = {}
    if len(slices) < len(headers):
        faults[Fault.LOCALIZER] = f"{len(headers) - len(slices)} localizer image(s) left out"
    slices, repeated = without_copies(slices)
    faults |= repeated
    slices, several = one_acquisition(slices, rules.acquisitions)
    faults |= several
    faults |= _content_faults(slices)
    kinds = Counter(map(_kind, slices))
    faults |= _kind_faults(kinds)
    if faults.keys() & rules.repair & {Fault.MIXED_ORIENTATION, Fault.MIXED_SIZE}:
        usual = kinds.most_common(1)[0][0]
        slices = [header for header in slices if _alike(_kind(header), usual)]
    first = slices[0]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    slices.sort(key=lambda header: header.position @ normal)
    distances = np.array([header.position @ normal for header in slices])
    faults |= spacing_faults(distances)
    if Fault.DUPLICATED_POSITION in faults:
        faults |= _untold(slices, distances)
    if Fault.DUPLICATED_POSITION in faults.keys() & rules.repair and Fault.UNTOLD not in faults:
        slices = _one_per_position(slices, distances)
        distances = np.array([header.position @ normal for header in slices])
        faults |= spacing_faults(distances)  # a single position may be all that is left
    if len(slices) > 1 and distances[-1] > distances[0]:
        faults |= _line_faults(slices, distances, normal)
    if 1 < len(slices) < FEW_SLICES:
        faults[Fault.FEW_SLICES] = f"{len(slices)} slices in all"
    report = GeometryReport(first.source_label, faults, rules.repair)
    if report.blocking:
        return Stack(tuple(slices), report, None, np.arange(len(slices), dtype=float))
    return Stack(tuple(slices), report, *_grid(slices, distances, faults))


def _grid(slices: list[SliceHeader], distances: np.ndarray, faults: dict[Fault, str]) -> tuple[Grid, np.ndarray]:
    first = slices[0]
    span = slices[-1].position - first.position
    if faults.keys() & {Fault.MISSING_SLICE, Fault.NON_UNIFORM_SPACING}:
        spacing = float(np.median(np.diff(distances)))
        slice_coordinates = (distances - distances[0]) / spacing
    else:
        slice_coordinates = np.arange(len(slices), dtype=float)
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * first.pixel_spacing_mm[1]
    affine[:3, 1] = first.orientation[3:] * first.pixel_spacing_mm[0]
    affine[:3, 2] = span / slice_coordinates[-1]
    affine[:3, 3] = first.position
    return Grid((int(np.ceil(slice_coordinates[-1] - 1e-6)) + 1, first.rows, first.columns), affine), slice_coordinates


def _kind(header: SliceHeader) -> tuple:
    """Key that all slices of one volume share: orientation (to a thousandth) and layout."""
    spacing = (float(f"{mm:.4g}") for mm in header.pixel_spacing_mm)
    return (*(np.round(header.orientation, 3) + 0.0).tolist(), header.rows, header.columns, *spacing)


def _alike(kind: tuple, other: tuple) -> bool:
    return _same_layout(kind, other) and np.allclose(kind[:6], other[:6], atol=2e-3)


def _same_layout(kind: tuple, other: tuple) -> bool:
    """Whether sizes are equal and pixel spacings differ by rounding at most."""
    return kind[6:8] == other[6:8] and np.allclose(kind[8:], other[8:], rtol=5e-4)


def _kind_faults(kinds: Counter) -> dict[Fault, str]:
    """Mixed orientations and sizes."""
    faults: dict[Fault, str] = {}
    usual = kinds.most_common(1)[0][0]
    turned = sum(count for kind, count in kinds.items() if not np.allclose(kind[:6], usual[:6], atol=2e-3))
    if turned:
        faults[Fault.MIXED_ORIENTATION] = f"{turned} of {kinds.total()} slices are oriented otherwise"
    layouts = [usual]
    for kind in kinds:
        if not any(_same_layout(kind, known) for known in layouts):
            layouts.append(kind)
    if len(layouts) > 1:
        faults[Fault.MIXED_SIZE] = f"{len(layouts)} different sizes or pixel spacings"
    return faults


def _content_faults(slices: list[SliceHeader]) -> dict[Fault, str]:
    """Images of several patients, studies or frames of reference, that are no CT, or of unknown rescaling."""
    faults: dict[Fault, str] = {}
    owners = {(header.patient_id, header.study_uid) for header in slices}
    if len(owners) > 1:
        faults[Fault.MIXED_PATIENTS] = f"one Series Instance UID for images of {len(owners)} patients or studies"
    frames = {header.frame_of_reference_uid for header in slices}
    if len(frames) > 1:
        faults[Fault.SEVERAL_FRAMES] = f"the images name {len(frames)}, so that their positions may not fit"
    other = [header.modality for header in slices if header.modality != "CT"]
    if other:
        faults[Fault.WRONG_MODALITY] = f"{len(other)} of {len(slices)} images have the Modality {other[0]!r}, not CT"
    unknown = sum(bool(np.isnan(header.slope)) for header in slices)
    if unknown:
        faults[Fault.UNKNOWN_RESCALE] = (
            f"{unknown} of {len(slices)} images lack RescaleSlope or RescaleIntercept, or their RescaleType is not HU"
        )
    return faults


def _one_per_position(slices: list[SliceHeader], distances: np.ndarray) -> list[SliceHeader]:
    """Of the images at one position, the one with the lowest InstanceNumber."""
    return [min((slices[i] for i in group), key=_number) for group in _positions(distances)]


def _untold(slices: list[SliceHeader], distances: np.ndarray) -> dict[Fault, str]:
    """Images at one position of which no InstanceNumber is the lowest, or in so many that two volumes are mixed."""
    groups = [sorted(_number(slices[i]) for i in group) for group in _positions(distances)]
    equal = sum(len(numbers) > 1 and numbers[0] == numbers[1] for numbers in groups)
    if equal:
        return {Fault.UNTOLD: f"at {equal} position(s) several images with the same InstanceNumber, or none"}
    several = sum(len(numbers) > 1 for numbers in groups)
    if several > len(groups) / 2 > 1:
        return {Fault.UNTOLD: f"several images at {several} of {len(groups)} positions: export each volume by itself"}
    return {}


def _positions(distances: np.ndarray) -> list[np.ndarray]:
    """Numbers of the images at each position, ascending."""
    return np.split(np.arange(len(distances)), np.flatnonzero(np.diff(distances) >= _SAME_POSITION_MM) + 1)


def _number(header: SliceHeader) -> float:
    return float("inf") if header.instance_number is None else header.instance_number


def _line_faults(slices: list[SliceHeader], distances: np.ndarray, normal: np.ndarray) -> dict[Fault, str]:
    """Slices beside the line through the first and last one, the tilt of that line, and a SliceThickness beside it."""
    faults: dict[Fault, str] = {}
    positions = np.array([header.position for header in slices])
    step = (positions[-1] - positions[0]) / (distances[-1] - distances[0])
    beside = np.linalg.norm(positions - positions[0] - (distances - distances[0])[:, None] * step, axis=1)
    shifted = beside > _SHIFT_PIXELS * min(slices[0].pixel_spacing_mm)
    if shifted.any():
        faults[Fault.SHIFTED_SLICES] = (
            f"{int(shifted.sum())} slice(s) lie up to {beside.max():.3g} mm beside the others"
        )
    if np.linalg.norm(np.cross(step, normal)) > 1e-3 * np.linalg.norm(step):
        angle = np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1)))
        faults[Fault.TILT] = f"slices are stacked {angle:.2f} degrees off the normal of the image plane"
    thickness = slices[0].slice_thickness_mm
    gaps = np.diff(distances)
    spacing = float(np.median(gaps[gaps >= _SAME_POSITION_MM]))
    if thickness is not None and spacing > SPARSE_RATIO * thickness:
        faults[Fault.SPARSE] = (
            f"slices of {thickness:g} mm lie {spacing:g} mm apart: what lies between them was not scanned"
        )
    if thickness is not None and abs(thickness - spacing) > 0.05:
        faults[Fault.THICKNESS] = f"slices lie {spacing:g} mm apart, SliceThickness is {thickness:g} mm"
    return faults
