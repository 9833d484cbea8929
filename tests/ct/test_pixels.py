"""Values of every bit layout in every transfer syntax, against GDCM (through SimpleITK)."""

import shutil
import struct
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ctxai.ct.header import read_header
from ctxai.ct.pixels import PixelLayout, hounsfield

from synthetic_ct import write_ct

NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
COMPRESSED = [RLELossless, JPEGLSLossless, JPEG2000Lossless]
LAYOUTS = [(16, 16), (16, 12), (16, 10), (8, 8)]


def image(folder, allocated, stored, signed, **attributes):
    """A data set of random values that fill the stored bits; those above them are clear."""
    (file,) = write_ct(folder, np.zeros((1, 64, 64), np.int16))
    dataset = pydicom.dcmread(file)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation = int(signed)
    low, high = (-(1 << stored - 1), 1 << stored - 1) if signed else (0, 1 << stored)
    values = np.random.default_rng(stored).integers(low, high, (64, 64))
    values[0, :2] = low, high - 1
    containers = (values & ((1 << stored) - 1)).astype(f"<u{allocated // 8}")
    dataset.PixelData = containers.tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset, file, values


def written(dataset, file, syntax):
    """Save in a transfer syntax: by pydicom's plug-ins, or by dcmtk where pydicom would touch unused bits."""
    if syntax in (JPEGLSLossless, JPEG2000Lossless):
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(file)
        return
    tool = {ExplicitVRBigEndian: ["dcmconv", "+tb"], RLELossless: ["dcmcrle"]}.get(syntax)
    if tool is None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
        return
    if shutil.which(tool[0]) is None:
        pytest.skip("no dcmtk")
    dataset.save_as(file.with_suffix(".plain"))
    subprocess.run([*tool, file.with_suffix(".plain"), file], check=True)


def in_hounsfield(values):
    return np.clip(values - 1024, -1024, 32767)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("allocated", "stored"), LAYOUTS)
@pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED], ids=lambda uid: uid.keyword)
def test_values_are_those_that_were_stored_and_that_gdcm_reads(tmp_path, syntax, allocated, stored, signed):
    dataset, file, values = image(tmp_path, allocated, stored, signed)
    written(dataset, file, syntax)
    hu, low, high, padded = hounsfield(read_header(file))
    np.testing.assert_array_equal(hu, in_hounsfield(values))
    assert (low, high, padded) == (values.min() - 1024, values.max() - 1024, False)
    by_gdcm = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0]
    np.testing.assert_array_equal(hu, np.clip(by_gdcm, -1024, 32767))


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("stored", [16, 12])
def test_values_of_lossless_jpeg_by_dcmtk_are_those_that_were_stored(tmp_path, stored, signed):
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("no dcmtk")
    dataset, file, values = image(tmp_path, 16, stored, signed)
    dataset.save_as(file)
    subprocess.run(["dcmcjpeg", "+e1", file, tmp_path / "jpeg.dcm"], check=True)
    np.testing.assert_array_equal(hounsfield(read_header(tmp_path / "jpeg.dcm"))[0], in_hounsfield(values))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_bits_above_the_value_are_dropped(tmp_path, syntax, signed):
    dataset, file, values = image(tmp_path, 16, 12, signed)
    overlay = np.random.default_rng(1).integers(0, 16, (64, 64)).astype(np.uint16) << 12
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2").reshape(64, 64) | overlay).tobytes()
    written(dataset, file, syntax)
    np.testing.assert_array_equal(hounsfield(read_header(file))[0], in_hounsfield(values))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.keyword)
def test_values_in_the_upper_bits_are_moved_down(tmp_path, syntax):
    dataset, file, values = image(tmp_path, 16, 12, signed=False, HighBit=15)
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") << 4).tobytes()
    written(dataset, file, syntax)
    np.testing.assert_array_equal(hounsfield(read_header(file))[0], in_hounsfield(values))


@pytest.mark.parametrize(
    ("stored", "signed", "value", "limit", "container"),
    [
        (16, False, 63536, None, 63536),
        (16, True, -2000, None, 63536),
        (16, True, 63536, None, 63536),  # its sign was lost
        (12, False, 4095, 4090, 4093),
        (12, False, 63536, None, 63536),  # more than the stored bits hold
        (12, True, -2000, None, 0x830),
    ],
)
def test_padding_is_air_however_it_is_coded(tmp_path, stored, signed, value, limit, container):
    dataset, file, _ = image(tmp_path, 16, stored, signed)
    containers = np.full((64, 64), 1000, "<u2")
    containers[5:9] = container
    dataset.PixelData = containers.tobytes()
    dataset.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", "US", limit)
    dataset.save_as(file)
    hu, low, high, padded = hounsfield(read_header(file))
    assert (hu[5:9] == -1024).all()
    assert (low, high, padded) == (-24, -24, True)


def test_an_image_of_nothing_but_padding_is_air(tmp_path):
    dataset, file, _ = image(tmp_path, 16, 16, signed=True)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.PixelData = np.full((64, 64), -2000, "<i2").tobytes()
    dataset.save_as(file)
    assert (hounsfield(read_header(file))[0] == -1024).all()


def test_a_padding_value_within_a_range_covers_no_other_value():
    layout = PixelLayout(16, 16, 15, True, (-2000, -1990))
    containers = np.array([[-2001, -2000, -1995, -1990, -1989]], np.int16).view(np.uint16)
    padded = layout.padded(containers, layout.values(containers))
    assert padded.tolist() == [[False, True, True, True, False]]


def by_the_standard(
    container: int, stored: int, high: int, signed: bool, padding: tuple[int, int] | None
) -> int | None:
    """A stored value bit by bit (PS3.5 8.1.1); None for padding (PS3.3 C.7.5.1.1.2)."""
    bits = [container >> (high - stored + 1 + number) & 1 for number in range(stored)]
    value = sum(bit << number for number, bit in enumerate(bits))
    value -= (1 << stored) if signed and bits[-1] else 0
    return None if padding is not None and min(padding) <= value <= max(padding) else value


@st.composite
def layouts(draw):
    """Bits, sign, rescaling and padding of an image, and random containers, with bits that belong to no value."""
    allocated = draw(st.sampled_from([8, 16, 16, 16, 32]))
    stored = draw(st.integers(2, allocated))
    high = draw(st.sampled_from([stored - 1, stored - 1, allocated - 1]))
    signed = draw(st.booleans())
    low, top = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    padding = None
    if allocated == 16 and draw(st.booleans()):
        padding = draw(st.tuples(st.integers(low, top), st.integers(low, top)))
    slope = draw(st.sampled_from([1.0, 1.0, 2.0, 0.5, -1.0, 0.25]))
    intercept = draw(st.sampled_from([-1024.0, 0.0, -1000.5, -8192.0]))
    containers = draw(st.lists(st.integers(0, (1 << allocated) - 1), min_size=16, max_size=16))
    return allocated, stored, high, signed, padding, slope, intercept, containers


def run_lengths(pixels: bytes, size: int) -> bytes:
    """A frame of 4x4 containers as literal runs, a segment a byte, the highest first (PS3.5 G)."""
    segments = []
    for byte in reversed(range(size)):
        part = pixels[byte::size]
        segments.append(b"".join(bytes([3]) + part[row : row + 4] for row in range(0, 16, 4)))
    starts = [64 + sum(map(len, segments[:number])) for number in range(size)]
    return struct.pack("<16L", size, *starts, *[0] * (15 - size)) + b"".join(segments)


@settings(max_examples=150, deadline=None)
@given(layout=layouts(), syntax=st.sampled_from([*NATIVE[:2], DeflatedExplicitVRLittleEndian, RLELossless]))
def test_any_layout_gives_what_the_standard_says_bit_by_bit(tmp_path_factory, layout, syntax):
    allocated, stored, high, signed, padding, slope, intercept, containers = layout
    folder = tmp_path_factory.mktemp("ct")
    (file,) = write_ct(folder, np.zeros((1, 4, 4), np.int16))
    dataset = pydicom.dcmread(file)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, high
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)
    dataset.PixelData = np.array(containers, f"<u{allocated // 8}").tobytes()
    dataset["PixelData"].VR = "OW"
    if padding is not None:
        kind = "SS" if signed else "US"
        dataset.add_new("PixelPaddingValue", kind, padding[0])
        dataset.add_new("PixelPaddingRangeLimit", kind, padding[1])
    if syntax == RLELossless:
        dataset.PixelData = encapsulate([run_lengths(dataset.PixelData, allocated // 8)])
        dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    expected = []
    for container in containers:
        value = by_the_standard(container, stored, high, signed, padding)
        hu = -1024 if value is None else np.rint(value * slope + intercept)
        expected.append(min(max(int(hu), -1024), 32767))
    np.testing.assert_array_equal(hounsfield(read_header(file))[0].ravel(), expected)
