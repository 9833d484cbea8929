"""Stored pixel values and Hounsfield units of one image, by DICOM PS3.5 8 and PS3.3 C.7.6.3 and C.11.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import RLELossless

from ctxai.ct.codestream import coded_size
from ctxai.ct.dicom_errors import PARSE_ERRORS, open_dataset, without_warnings
from ctxai.errors import InputError

if TYPE_CHECKING:
    from ctxai.ct.header import SliceHeader

#: Hounsfield units of air; anything lower is padding outside the reconstructed circle.
AIR_HU = -1024
INT16_MAX = np.iinfo(np.int16).max
#: pydicom's words for pixels in a compression that no installed package can undo.
_NO_DECODER = "missing dependencies"


@dataclass(frozen=True)
class PixelLayout:
    """Position of a value in its container, and the values that are no part of the image.

    Attributes:
        allocated: bits of the container (BitsAllocated).
        bits: bits of the value (BitsStored).
        high_bit: its highest bit in the container (HighBit).
        signed: two's complement (PixelRepresentation).
        padding: first and last padding value (PixelPaddingValue, PixelPaddingRangeLimit), as the header has them.
    """

    allocated: int
    bits: int
    high_bit: int
    signed: bool
    padding: tuple[int, int] | None = None

    def values(self, containers: np.ndarray, encapsulated: bool = False) -> np.ndarray:
        """Values of unsigned containers: bits that belong to something else, such as overlays, are dropped.

        Args:
            containers: unsigned [row, column].
            encapsulated: decoded from a compressed frame, whose values are always in the lowest bits (PS3.5 8.2).
        """
        width = containers.dtype.itemsize * 8
        unused = width - self.bits
        up = unused if encapsulated else width - 1 - self.high_bit
        values = containers.view(containers.dtype.str.replace("u", "i")) if self.signed else containers
        return values if unused == 0 and up == 0 else (values << up) >> unused

    def padded(self, containers: np.ndarray, values: np.ndarray) -> np.ndarray | None:
        """Where the padding is, bool [row, column]; None where the header names none.

        A padding value that the stored bits cannot hold is compared with the whole container.

        Args:
            containers: unsigned [row, column].
            values: what :meth:`values` makes of them.
        """
        if self.padding is None:
            return None
        first, last = (self._value(number) for number in self.padding)
        if first is None or last is None:
            full = (1 << containers.dtype.itemsize * 8) - 1
            return containers == (self.padding[0] & full)
        low, high = min(first, last), max(first, last)
        return (values >= low) & (values <= high)

    def _value(self, number: int) -> int | None:
        """A padding value as a stored value, also where its sign was lost; None for one that the bits cannot hold."""
        low, high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.signed else (0, (1 << self.bits) - 1)
        if low <= number <= high:
            return number
        turned = (number - (1 << self.bits), number - (1 << self.allocated), number + (1 << self.allocated))
        return next((value for value in turned if low <= value <= high), None)


def hounsfield(header: SliceHeader) -> tuple[np.ndarray, float, float, bool]:
    """Hounsfield units of one image, int16 [row, column], at least -1024.

    Returns:
        The image, its lowest and highest value before clipping and without padding, and whether there is padding.

    Raises:
        InputError: when the pixels cannot be decoded.
    """
    containers, encapsulated = _containers(header)
    stored = header.layout.values(containers, encapsulated)
    padded = header.layout.padded(containers, stored)
    if padded is not None and not padded.any():
        padded = None
    slope, intercept = (1.0, 0.0) if np.isnan(header.slope) else (header.slope, header.intercept)
    inside = stored if padded is None else stored[~padded]
    if inside.size == 0:
        return np.full(stored.shape, AIR_HU, np.int16), AIR_HU, AIR_HU, True
    values: np.ndarray
    if slope == 1 and float(intercept).is_integer():
        offset = int(intercept)
        low, high = float(int(inside.min()) + offset), float(int(inside.max()) + offset)
        if padded is None and stored.dtype == np.int16 and low >= AIR_HU and high <= INT16_MAX:
            return stored + np.int16(offset), low, high, False
        values = stored.astype(np.int64) + offset
    else:
        values = np.rint(stored * slope + intercept)
        ends = np.rint(np.array([inside.min(), inside.max()]) * slope + intercept)
        low, high = float(ends.min()), float(ends.max())
    hu = np.clip(values, AIR_HU, INT16_MAX).astype(np.int16)
    if padded is not None:
        hu[padded] = AIR_HU
    return hu, low, high, padded is not None


def stored_values(header: SliceHeader) -> np.ndarray:
    """Stored values of one image [row, column]; signed or unsigned as PixelRepresentation has it.

    Raises:
        InputError: when the pixels cannot be decoded.
    """
    return header.layout.values(*_containers(header))


def _containers(header: SliceHeader) -> tuple[np.ndarray, bool]:
    """Containers of the values, unsigned [row, column], and whether they were compressed."""
    try:
        if header.pixels_at is not None:
            count = header.rows * header.columns
            flat = np.fromfile(header.path, "<u2", count, offset=header.pixels_at)
            return flat.reshape(header.rows, header.columns), False
        with without_warnings():
            decoded, encapsulated = _decoded(header)
    except (*PARSE_ERRORS, RuntimeError) as error:
        reason = str(error).replace(str(header.path), "its file")
        mend = "pip install 'ctxai[codecs]' brings decoders" if _NO_DECODER in reason else "export it again"
        raise InputError(f"{header.image_label}: pixels cannot be decoded ({reason}); {mend}") from None
    if decoded.shape != (header.rows, header.columns):
        raise InputError(f"{header.image_label}: expected {header.rows}x{header.columns} pixels, found {decoded.shape}")
    return decoded.view(decoded.dtype.str.replace("i", "u")), encapsulated


def _decoded(header: SliceHeader) -> tuple[np.ndarray, bool]:
    """Pixels as pydicom decodes them, unless the compressed image is of another size, which might fill the memory."""
    dataset, number = open_dataset(header.path), header.frame or 0
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        frame = get_frame(dataset.PixelData, number, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
        if coded_size(frame) not in (None, (header.rows, header.columns)):
            raise ValueError(f"compressed as {coded_size(frame)}, expected {(header.rows, header.columns)} pixels")
    compressed = syntax.is_encapsulated and syntax != RLELossless  # whose frames are containers, too
    if not compressed:  # every bit of the containers
        dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
    decoded = pixel_array(dataset, raw=True, index=number)
    return decoded.astype(decoded.dtype.newbyteorder("="), order="C", copy=False), compressed


__all__ = ["AIR_HU", "INT16_MAX", "PixelLayout", "hounsfield", "stored_values"]
