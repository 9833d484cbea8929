"""Images whose attributes hold what no CT has."""

from __future__ import annotations

import os

from faults.inputs import Inputs
from faults.promises import READ, REPAIRED, Faults, image, whole

FAULTS = Faults()


@FAULTS.case(**image("Rows is 0"))
def image_of_no_rows(i: Inputs) -> None:
    i.edit(5, Rows=0, Columns=0)


@FAULTS.case(**image("Rows is 65535"))
def image_of_65535_rows_and_columns(i: Inputs) -> None:
    i.edit(5, Rows=65535, Columns=65535)


@FAULTS.case(alone=True, ingest=(REPAIRED, "Rows is 65535"))
def sparse_file_of_65535_rows_and_columns(i: Inputs) -> None:
    i.edit(5, Rows=65535, Columns=65535)
    os.truncate(i.images[5], 2 * 65535**2 + 5000)


@FAULTS.case(**image("NumberOfFrames is 2000000000"))
def two_thousand_million_frames(i: Inputs) -> None:
    i.edit(5, NumberOfFrames="2000000000")


@FAULTS.case(**image("SamplesPerPixel is 3"))
def colour_image(i: Inputs) -> None:
    i.edit(5, SamplesPerPixel=3)


@FAULTS.case(**image("BitsAllocated is 0"))
def no_bits_allocated(i: Inputs) -> None:
    i.edit(5, BitsAllocated=None)


@FAULTS.case(**image("ImagePositionPatient"))
def no_position(i: Inputs) -> None:
    i.edit(5, ImagePositionPatient=None)


@FAULTS.case(**image("ImagePositionPatient"))
def position_that_is_no_number(i: Inputs) -> None:
    i.edit(5, ImagePositionPatient=["nan", "inf", "0"])


@FAULTS.case(**image("further than"))
def position_beyond_any_room(i: Inputs) -> None:
    i.edit(5, ImagePositionPatient=["0", "0", "1e300"])


@FAULTS.case(**image("PixelSpacing"))
def negative_spacing(i: Inputs) -> None:
    i.edit(5, PixelSpacing=["-0.7", "0.7"])


@FAULTS.case(**image("PixelSpacing"))
def spacing_of_almost_nothing(i: Inputs) -> None:
    i.edit(5, PixelSpacing=["1e-300", "1e-300"])


@FAULTS.case(**image("ImageOrientationPatient"))
def orientation_of_zeros(i: Inputs) -> None:
    i.edit(5, ImageOrientationPatient=["0"] * 6)


@FAULTS.case(**whole("unknown rescale"))
def no_rescale(i: Inputs) -> None:
    i.edit(RescaleSlope=None)


@FAULTS.case(**image("RescaleSlope is 0"))
def rescale_slope_of_zero(i: Inputs) -> None:
    i.edit(5, RescaleSlope="0")


@FAULTS.case(ingest=(READ, ""), explain=(READ, ""))
def rescale_slope_of_1e300(i: Inputs) -> None:
    i.edit(5, RescaleSlope="1e300")


@FAULTS.case(ingest=(READ, ""), explain=(READ, ""))
def instance_number_that_is_infinite(i: Inputs) -> None:
    data = i.images[5].read_bytes()
    place = data.index(b"\x20\x00\x13\x00IS\x02\x00")
    i.images[5].write_bytes(data[:place] + b"\x20\x00\x13\x00IS\x04\x00inf " + data[place + 10 :])
