import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from ctxai.ct import header as header_module
from ctxai.ct.elements import read_elements
from ctxai.ct.header import read_header
from ctxai.ct.pixels import stored_values

from synthetic_ct import write_ct


@pytest.fixture
def image(tmp_path) -> Path:
    return write_ct(tmp_path, np.zeros((2, 24, 32), np.int16))[0]


def quick(path: Path):
    with path.open("rb") as file:
        return read_elements(file, header_module.HEADER_TAGS)


def by_pydicom(path: Path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(header_module, "read_elements", lambda file, wanted: None)
        return read_header(path)


def same(a, b) -> bool:
    return all(np.array_equal(value, getattr(b, name)) for name, value in vars(a).items() if name != "pixels_at")


def test_the_quick_look_gives_the_header_that_pydicom_gives(image, monkeypatch):
    assert quick(image) is not None
    assert same(read_header(image), by_pydicom(image, monkeypatch))


def test_real_headers_are_the_same_both_ways(lidc_0001, monkeypatch):
    files = sorted(lidc_0001.rglob("*.dcm"))[::20]
    for path in files:
        assert same(read_header(path), by_pydicom(path, monkeypatch))


def test_the_pixels_begin_where_it_says(image):
    dataset = pydicom.dcmread(image)
    assert image.read_bytes()[quick(image).pixels_at :] == dataset.PixelData


def private_sequence(dataset: Dataset) -> None:
    dataset.ReferencedImageSequence = Sequence([Dataset()])
    dataset["ReferencedImageSequence"].is_undefined_length = True


def umlaut(dataset: Dataset) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.Manufacturer = "Müller"


def long_header(dataset: Dataset) -> None:
    dataset.ImageComments = "x" * 9000


def implicit(dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


@pytest.mark.parametrize("change", [private_sequence, umlaut, long_header, implicit], ids=lambda c: c.__name__)
def test_what_is_unusual_is_left_to_pydicom(image, change):
    dataset = pydicom.dcmread(image)
    change(dataset)
    if change is implicit:
        dataset.save_as(image, implicit_vr=True, little_endian=True)
    else:
        dataset.save_as(image)
    assert quick(image) is None
    header = read_header(image)
    assert (header.rows, header.columns) == (24, 32)
    assert header.manufacturer in {"Müller", "ctxai tests"}


def test_no_cut_and_no_changed_byte_of_a_header_ends_in_anything_but_an_answer(image):
    whole = image.read_bytes()
    rng = np.random.default_rng(0)
    for length in range(0, 1400, 7):
        read_elements(io.BytesIO(whole[:length]), header_module.HEADER_TAGS)
    for place in rng.integers(128, 1400, 400):
        changed = bytearray(whole)
        changed[place] = int(rng.integers(256))
        read_elements(io.BytesIO(bytes(changed)), header_module.HEADER_TAGS)


@pytest.mark.parametrize(("bits", "signed"), [(12, 0), (12, 1), (15, 1), (16, 0), (16, 1)])
def test_bits_that_do_not_belong_to_the_value_are_dropped_as_pydicom_does(image, bits, signed):
    dataset = pydicom.dcmread(image)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, signed
    stored = np.random.default_rng(0).integers(0, 2**16, (24, 32), dtype=np.uint16)
    dataset.PixelData = stored.tobytes()
    dataset.save_as(image)
    header = read_header(image)
    assert header.pixels_at is not None and header.layout.bits == bits
    found = stored_values(header)
    expected = pydicom.dcmread(image).pixel_array
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
