"""Faults and peculiarities in the geometry of a CT series, by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ctxai.errors import GeometryError, InputError
from ctxai.suggestions import did_you_mean


class Fault(StrEnum):
    """Names of the faults that a series can have."""

    MISSING_SLICE = "missing slice"
    DUPLICATED_POSITION = "duplicated position"
    NON_UNIFORM_SPACING = "non-uniform spacing"
    MIXED_ORIENTATION = "mixed orientation"
    MIXED_PATIENTS = "mixed patients"
    MIXED_SIZE = "mixed size or pixel spacing"
    SHIFTED_SLICES = "shifted slices"
    SINGLE_SLICE = "single slice"
    WRONG_MODALITY = "wrong modality"
    UNKNOWN_RESCALE = "unknown rescale"
    TILT = "tilt"
    LOCALIZER = "localizer"
    THICKNESS = "spacing differs from SliceThickness"
    PADDING = "padding below -1024 HU"
    OVERFLOW = "values above 3071 HU"
    COPIES = "copied images"
    REPEATED_UID = "repeated SOP Instance UID"
    UNTOLD = "images that nothing tells apart"
    SEVERAL_ACQUISITIONS = "several acquisitions"
    SPARSE = "gaps between slices"
    FEW_SLICES = "few slices"
    NO_SUCH_ACQUISITION = "no such acquisition"
    SEVERAL_FRAMES = "several frames of reference"


#: Faults that change nothing in the volume: the affine carries a tilt, spacing is measured, a localizer, a copy and all
#: acquisitions but one are left out.
HARMLESS = frozenset(
    {
        Fault.TILT,
        Fault.LOCALIZER,
        Fault.THICKNESS,
        Fault.PADDING,
        Fault.OVERFLOW,
        Fault.COPIES,
        Fault.SEVERAL_ACQUISITIONS,
        Fault.SPARSE,
        Fault.FEW_SLICES,
        Fault.SEVERAL_FRAMES,
    }
)
#: Harmless faults that a reader of results has to know: told whenever a series is opened.
WARNED = frozenset({Fault.COPIES, Fault.SEVERAL_ACQUISITIONS, Fault.SPARSE, Fault.FEW_SLICES, Fault.SEVERAL_FRAMES})
#: Faults that :class:`GeometryRules` may repair; all others that are not harmless are always refused.
REPAIRABLE = frozenset(
    {
        Fault.MISSING_SLICE,
        Fault.DUPLICATED_POSITION,
        Fault.NON_UNIFORM_SPACING,
        Fault.MIXED_ORIENTATION,
        Fault.MIXED_SIZE,
        Fault.WRONG_MODALITY,
        Fault.UNKNOWN_RESCALE,
    }
)

# Slice positions are rounded by scanners, some to 0.1 mm: a slice that lies this near the best grid lies on it.
_TOLERANCE_MM = 0.06
_TOLERANCE_SHARE = 0.02
#: Slices this many times as far apart as they are thick leave more than half of the body out.
SPARSE_RATIO = 2.0
#: Fewer slices than this are a volume by name only.
FEW_SLICES = 5


@dataclass(frozen=True)
class GeometryRules:
    """Which faults of a series are repaired, and which acquisition is used; all other harmful faults are refused.

    Attributes:
        repair: faults out of :data:`REPAIRABLE`. Missing slices and non-uniform spacing: patches are interpolated
            between the true positions. Duplicated position: the image with the lowest InstanceNumber is kept. Mixed
            orientation, size or pixel spacing: the images of the most frequent kind are kept. Wrong modality: taken as
            CT. Unknown rescale: stored values are taken as Hounsfield units.
        max_gap_mm: a patch that touches a wider gap of missing slices is refused.
        acquisitions: of a series with several acquisitions the one with this value, such as ``2`` or
            ``AcquisitionNumber=2``; the largest when not given. Several values choose step by step.
    """

    repair: frozenset[Fault] = frozenset({Fault.MISSING_SLICE, Fault.DUPLICATED_POSITION, Fault.NON_UNIFORM_SPACING})
    max_gap_mm: float = 5.0
    acquisitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.repair <= REPAIRABLE:
            wrong = ", ".join(sorted(self.repair - REPAIRABLE))
            raise InputError(f"{wrong}: cannot be repaired; expected some of {', '.join(sorted(REPAIRABLE))}")
        if not self.max_gap_mm >= 0:
            raise InputError(f"max_gap_mm is {self.max_gap_mm}, expected millimetres")

    @classmethod
    def named(cls, repair: Iterable[str], max_gap_mm: float = 5.0, acquisitions: Iterable[str] = ()) -> GeometryRules:
        """Rules from the faults' names, with ``-`` or a blank between words.

        Raises:
            InputError: for a name that is no fault, or of a fault that cannot be repaired.
        """
        faults = {fault.replace(" ", "-"): fault for fault in Fault}
        unknown = [name for name in repair if name.replace(" ", "-") not in faults]
        if unknown:
            known = sorted(fault.replace(" ", "-") for fault in REPAIRABLE)
            meant = did_you_mean(unknown[0], known)
            raise InputError(f"{unknown[0]}: no such fault; expected some of {', '.join(known)}{meant}")
        return cls(frozenset(faults[name.replace(" ", "-")] for name in repair), max_gap_mm, tuple(acquisitions))


#: Repairs nothing: for results that must lie on the CT's own regular grid.
STRICT = GeometryRules(repair=frozenset())


@dataclass(frozen=True)
class GeometryReport:
    """Faults of one series, each with a sentence that gives the figures, and which of them were repaired."""

    series: str
    faults: dict[Fault, str]
    repaired: frozenset[Fault] = frozenset()

    @property
    def blocking(self) -> dict[Fault, str]:
        """The faults that keep the slices from being used: neither harmless nor repaired."""
        return {
            fault: text
            for fault, text in self.faults.items()
            if fault not in HARMLESS and (fault not in self.repaired or fault not in REPAIRABLE)
        }

    @property
    def repairs(self) -> str:
        """Names of the faults that were repaired or do no harm, in one line; empty where there are none."""
        return "; ".join(sorted(fault for fault in self.faults if fault not in self.blocking))

    def require_regular(self) -> None:
        """Refuse a series with a blocking fault.

        Raises:
            GeometryError: with every blocking fault and its figures, in one line.
        """
        if self.blocking:
            reasons = "; ".join(f"{fault}: {text}" for fault, text in self.blocking.items())
            raise GeometryError(f"{self.series}: not one regular CT volume ({reasons}); export the whole series again")


def spacing_faults(distances_mm: np.ndarray) -> dict[Fault, str]:
    """Faults in the slice distances.

    Args:
        distances_mm: positions of the slices along the normal of the image plane, ascending.
    """
    if len(distances_mm) < 2:
        return {Fault.SINGLE_SLICE: f"{len(distances_mm)} slice(s) at different positions, at least 2 are needed"}
    faults: dict[Fault, str] = {}
    gaps = np.diff(distances_mm)
    duplicated = gaps < 1e-3
    if duplicated.any():
        faults[Fault.DUPLICATED_POSITION] = (
            f"{int(duplicated.sum())} slice(s) at the position of another, first at "
            f"{distances_mm[:-1][duplicated][0]:g} mm along the normal"
        )
    spacing = float(np.median(gaps[~duplicated])) if not duplicated.all() else 0.0
    wide = ~duplicated & (gaps > 1.5 * spacing)
    if wide.any():
        first = int(np.argmax(wide))
        faults[Fault.MISSING_SLICE] = (
            f"{int(wide.sum())} gap(s), first of {gaps[first]:g} mm after {distances_mm[first]:g} mm along the normal, "
            f"where slices lie {spacing:g} mm apart"
        )
    if not wide.any() and not duplicated.any():
        index = np.arange(len(distances_mm), dtype=float)
        step, start = np.polyfit(index, distances_mm, 1)
        uneven = np.abs(distances_mm - start - step * index) > max(_TOLERANCE_MM, _TOLERANCE_SHARE * step)
    else:
        uneven = ~duplicated & ~wide & (np.abs(gaps - spacing) > max(2 * _TOLERANCE_MM, _TOLERANCE_SHARE * spacing))
    if uneven.any():
        regular = gaps[~duplicated & ~wide]
        faults[Fault.NON_UNIFORM_SPACING] = (
            f"slices lie {regular.min():g} to {regular.max():g} mm apart, most {spacing:g} mm"
        )
    return faults
