"""Values of every bit layout in every transfer syntax, against GDCM (through SimpleITK)."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
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
