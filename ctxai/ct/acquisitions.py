"""Images of one series that belong to several volumes: copies of files, acquisitions, phases, reconstructions."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence

import numpy as np

from ctxai.ct.geometry import Fault
from ctxai.ct.header import ACQUISITION, SliceHeader

_SAME_POSITION_MM = 1e-3
#: Most acquisitions that one series is expected to have; attributes that vary with every slice have more values.
_MOST = 32


def without_copies(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], dict[Fault, str]]:
    """One of each image whose file is there several times, byte by byte.

    Returns:
        The images, and the faults: copies that were left out; different images with one SOP Instance UID.
    """
    first: dict[tuple[str, int | None], SliceHeader] = {}
    kept, copies, clashes = [], 0, 0
    for header in slices:
        known = first.setdefault((header.sop_uid, header.frame), header)
        if known is header:
            kept.append(header)
        elif filecmp.cmp(known.path, header.path, shallow=False):
            copies += 1
        else:
            kept.append(header)
            clashes += 1
    faults: dict[Fault, str] = {}
    if copies:
        faults[Fault.COPIES] = f"{copies} byte-equal copies of images, each used once"
    if clashes:
        faults[Fault.REPEATED_UID] = f"{clashes} image(s) have the SOP Instance UID of another, different image"
    return kept, faults


def one_acquisition(
    slices: Sequence[SliceHeader], chosen: Sequence[str] = ()
) -> tuple[list[SliceHeader], dict[Fault, str]]:
    """One of several acquisitions that cover the same part of the body, told apart by their attributes.

    Acquisitions that follow one another, as in step-and-shoot scans, are one volume. The largest is used, of equally
    large ones the first by number or text.

    Args:
        slices: images of one series.
        chosen: values, such as ``2`` or ``AcquisitionNumber=2``, of the acquisition to use instead.

    Returns:
        The images, and the faults: the acquisitions, their sizes and the one that is used; a value that none has.
    """
    slices, told, left = list(slices), [], list(chosen)
    while (division := _division(slices)) is not None:
        keyword, groups = division
        wanted = [(value, name) for value in groups for name in left if _is_named(keyword, value, name)]
        used = wanted[0][0] if wanted else min(groups, key=lambda value: (-len(groups[value]), _order(value)))
        left = [name for name in left if name not in [name for _, name in wanted]]
        sizes = ", ".join(f"{value or 'none'}: {len(groups[value])}" for value in sorted(groups, key=_order))
        told.append(f"{len(groups)} acquisitions by {keyword} (slices of {sizes}); used: {used or 'none'}")
        slices = groups[used]
    if not told:
        return slices, {}
    faults = {Fault.SEVERAL_ACQUISITIONS: "; ".join(told) + " (another by --acquisition)"}
    if left:
        faults[Fault.NO_SUCH_ACQUISITION] = f"{', '.join(left)}: {told[0]}"
    return slices, faults


def _division(slices: Sequence[SliceHeader]) -> tuple[str, dict[str, list[SliceHeader]]] | None:
    """The first attribute that divides the images into volumes over the same range, and the volumes by its values.

    Where no attribute leaves one image a position, the first that divides them at all: others divide its parts.
    """
    normal = np.cross(slices[0].orientation[:3], slices[0].orientation[3:])
    part: tuple[str, dict[str, list[SliceHeader]]] | None = None
    for number, keyword in enumerate(ACQUISITION):
        groups: dict[str, list[SliceHeader]] = {}
        for header in slices:
            value = header.acquisition[number] if number < len(header.acquisition) else ""
            groups.setdefault(value, []).append(header)
        if not 1 < len(groups) <= min(_MOST, len(slices) // 2) or min(map(len, groups.values())) < 2:
            continue
        positions = [np.sort([header.position @ normal for header in group]) for group in groups.values()]
        if not _overlap(positions):
            continue
        if not any((np.diff(each) < _SAME_POSITION_MM).any() for each in positions):
            return keyword, groups
        if part is None and all(_is_doubled(each) for each in positions):
            part = keyword, groups
    return part


def _is_doubled(positions: np.ndarray) -> bool:
    """Whether every position is there as often as the others, and more than once: several whole volumes."""
    _, counts = np.unique(np.round(positions / _SAME_POSITION_MM), return_counts=True)
    return bool(counts.min() > 1 and counts.min() == counts.max())


def _is_named(keyword: str, value: str, name: str) -> bool:
    """Whether a name stands for a value of an attribute: itself, an equal number, or with the attribute's name."""
    plain = name.removeprefix(f"{keyword}=")
    return plain == value or (_order(plain)[0] == _order(value)[0] < float("inf"))


def _overlap(positions: Sequence[np.ndarray]) -> bool:
    """Whether the ranges of two acquisitions overlap by more than a slice distance."""
    ordered = sorted(positions, key=lambda each: float(each[0]))
    reached = ordered[0][-1]
    for each in ordered[1:]:
        if reached - each[0] > float(np.median(np.diff(each))):
            return True
        reached = max(reached, each[-1])
    return False


def _order(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value
