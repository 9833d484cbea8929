"""Values of an image's header, each checked before anything is built on it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue

from ctxai.ct.identity import exact_text
from ctxai.ct.pixels import PixelLayout
from ctxai.errors import InputError

#: More rows or columns than any CT has; what claims more is refused before memory is taken for it.
_MAX_SIDE = 4096
#: Pixel spacings of any scanner, and positions in any room, mm.
_SPACING_MM, _POSITION_MM = (1e-3, 1e2), 1e5
#: A UID as DICOM has it, and as files have it that were made anonymous carelessly.
_UID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ImagePlane(NamedTuple):
    """Where an image lies in the patient.

    Attributes:
        position: ImagePositionPatient, LPS mm.
        orientation: ImageOrientationPatient, two unit vectors at right angles.
        pixel_spacing_mm: PixelSpacing, distance of rows and of columns.
    """

    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class HeaderValues:
    """Checked values of one image.

    Every method raises InputError, which names the file, the element and what is wrong with it. Texts are not quoted,
    because they may name a patient.

    Attributes:
        elements: by keyword, as :func:`ctxai.ct.elements.read_elements` or pydicom gives them.
        path: the file, for messages.
    """

    elements: Mapping[str, Any] | Dataset
    path: Path

    def text(self, keyword: str) -> str:
        """A text, empty where there is none."""
        value = self.elements.get(keyword)
        return "" if value is None else str(value).strip()

    def identity(self, keyword: str) -> str:
        """A text that names the patient, also in bytes that its character set lacks."""
        return exact_text(self.elements, keyword) if isinstance(self.elements, Dataset) else self.text(keyword)

    def texts(self, keyword: str) -> tuple[str, ...]:
        """All texts of an element."""
        return tuple(str(part) for part in _as_sequence(self.elements.get(keyword)))

    def uid(self, keyword: str) -> str:
        """A UID that can do no harm in a table or an object that refers to it."""
        uid = self.text(keyword)
        if not _UID.fullmatch(uid):
            raise InputError(
                f"{self.path}: {keyword} is no UID, expected 1 to 64 digits and dots, found {len(uid)} characters"
            )
        return uid

    def number(self, keyword: str) -> float | None:
        """A finite number, or None where there is none: for elements that nothing depends on."""
        try:
            number = float(str(self.elements.get(keyword)))
        except ValueError:
            return None
        return number if np.isfinite(number) else None

    def side(self, keyword: str) -> int:
        """Rows or Columns."""
        side = int(self.elements.get(keyword) or 0)
        if not 1 <= side <= _MAX_SIDE:
            raise InputError(f"{self.path}: {keyword} is {side}, expected 1 to {_MAX_SIDE}")
        return side

    def image_plane(self) -> ImagePlane:
        """Position, orientation and pixel spacing."""
        position, orientation, spacing = (
            self._finite(self.elements.get(keyword), count, keyword)
            for keyword, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
        )
        if spacing.min() < _SPACING_MM[0] or spacing.max() > _SPACING_MM[1]:
            raise InputError(
                f"{self.path}: PixelSpacing is {spacing.tolist()}, expected two numbers from {_SPACING_MM[0]:g} to "
                f"{_SPACING_MM[1]:g} mm"
            )
        if np.abs(position).max() > _POSITION_MM:
            raise InputError(
                f"{self.path}: ImagePositionPatient is {position.tolist()}, further than {_POSITION_MM:g} mm off"
            )
        if abs(orientation[:3] @ orientation[3:]) > 1e-3 or not np.allclose(
            [np.linalg.norm(orientation[:3]), np.linalg.norm(orientation[3:])], 1, atol=1e-3
        ):
            raise InputError(
                f"{self.path}: ImageOrientationPatient {orientation.tolist()} is not two unit vectors at right angles"
            )
        return ImagePlane(position, orientation, (float(spacing[0]), float(spacing[1])))

    def rescale(self) -> tuple[float, float]:
        """Slope and intercept; both NaN where they are absent or lead to something else than Hounsfield units."""
        values = [self.elements.get("RescaleSlope"), self.elements.get("RescaleIntercept")]
        if any(value in (None, "") for value in values) or self.text("RescaleType") not in {"", "HU"}:
            return float("nan"), float("nan")
        slope, intercept = self._finite(values, 2, "RescaleSlope and RescaleIntercept")
        if slope == 0:
            raise InputError(f"{self.path}: RescaleSlope is 0, so there are no Hounsfield units")
        return float(slope), float(intercept)

    def sample_bytes(self) -> int:
        """Bytes that one pixel of an image of one sample takes."""
        for keyword in ("SamplesPerPixel", "NumberOfFrames"):
            if int(self.elements.get(keyword) or 1) != 1:
                raise InputError(f"{self.path}: {keyword} is {self.elements.get(keyword)}, expected 1 in a CT image")
        bits = int(self.elements.get("BitsAllocated") or 0)
        if bits not in (8, 16, 32):
            raise InputError(f"{self.path}: BitsAllocated is {bits}, expected 16")
        return bits // 8

    def layout(self) -> PixelLayout:
        """Position of a value in its container.

        Raises:
            InputError: when the bits do not fit.
        """
        allocated = self.sample_bytes() * 8
        stored, signed = int(self.elements.get("BitsStored") or allocated), self.elements.get("PixelRepresentation")
        high = self.elements.get("HighBit")
        high_bit = stored - 1 if high in (None, "") else int(str(high))
        if not 1 <= stored <= allocated or not stored - 1 <= high_bit < allocated:
            raise InputError(
                f"{self.path}: BitsStored {stored} and HighBit {high_bit} do not fit BitsAllocated {allocated}"
            )
        padding = [self._integer(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
        first, last = padding[0], padding[0] if padding[1] is None else padding[1]
        return PixelLayout(
            allocated, stored, high_bit, signed == 1, None if first is None or last is None else (first, last)
        )

    def _integer(self, keyword: str) -> int | None:
        number = self.number(keyword)
        return None if number is None else int(number)

    def _finite(self, value: object, count: int, name: str) -> np.ndarray:
        """``count`` finite numbers out of a value."""
        try:
            numbers = np.array([float(v) for v in _as_sequence(value)])
        except (TypeError, ValueError):
            numbers = np.array([])
        if len(numbers) != count or not np.isfinite(numbers).all():
            found = numbers.tolist() if len(numbers) else "absent or no number"
            raise InputError(f"{self.path}: {name} is {found}, expected {count} finite number(s)")
        return numbers


def _as_sequence(value: object) -> Sequence:
    if value is None:
        return []
    return value if isinstance(value, Sequence | MultiValue) and not isinstance(value, str) else [value]
