"""What is wrong, or unusual, in the geometry of a CT series, by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ctxai.errors import GeometryError


class Fault(StrEnum):
    """Names of the faults that a series can have."""

    MISSING_SLICE = "missing slice"
    DUPLICATED_POSITION = "duplicated position"
    NON_UNIFORM_SPACING = "non-uniform spacing"
    MIXED_ORIENTATION = "mixed orientation"
    MIXED_SIZE = "mixed size or pixel spacing"
    SINGLE_SLICE = "single slice"
    TILT = "tilt"
    LOCALIZER = "localizer"


#: Faults that change nothing in the volume: the affine carries a tilt, a localizer is left out.
HARMLESS = frozenset({Fault.TILT, Fault.LOCALIZER})

# Slice positions are rounded by scanners; a gap that differs less than this is the same gap.
_TOLERANCE_MM = 0.05
_TOLERANCE_SHARE = 0.02


@dataclass(frozen=True)
class GeometryReport:
    """Faults of one series, each with a sentence that gives the figures."""

    series: str
    faults: dict[Fault, str]

    @property
    def blocking(self) -> dict[Fault, str]:
        """The faults that keep the slices from being one regular volume."""
        return {fault: text for fault, text in self.faults.items() if fault not in HARMLESS}

    def require_regular(self) -> None:
        """Refuse a series that is not one regular volume.

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
    uneven = ~duplicated & ~wide & (np.abs(gaps - spacing) > max(_TOLERANCE_MM, _TOLERANCE_SHARE * spacing))
    if uneven.any():
        regular = gaps[~duplicated & ~wide]
        faults[Fault.NON_UNIFORM_SPACING] = (
            f"slices lie {regular.min():g} to {regular.max():g} mm apart, most {spacing:g} mm"
        )
    return faults
