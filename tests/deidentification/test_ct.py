"""The deidentified CT holds the pixel values and nothing else."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, RLELossless

from ctxai.ct.series import read_series
from ctxai.deidentification.ct import write_clean_ct
from ctxai.deidentification.profile import Confidentiality

from synthetic_ct import ct_grid, write_ct

KEY = b"a key of the tests, known to all"


def written(folder, change):
    """The clean images of a CT whose images were changed, and their values before."""
    grid = ct_grid((3, 64, 64), (1.0, 1.0, 1.0))
    values = np.random.default_rng(0).integers(0, 2000, grid.shape).astype(np.int16) - 1000
    write_ct(folder / "ct", values, grid)
    for path in (folder / "ct").iterdir():
        image = pydicom.dcmread(path)
        change(image)
        image.save_as(path)
    write_clean_ct(folder / "clean", read_series(folder / "ct"), Confidentiality(KEY))
    return [pydicom.dcmread(path) for path in sorted((folder / "clean").iterdir())], read_series(folder / "ct").read()


def hide_overlay(image):
    """12 bits of value, and a picture in the four above."""
    values = image.pixel_array.astype(np.int32)
    stored = (values - values.min()).astype(np.uint16)
    image.RescaleIntercept = float(image.RescaleIntercept) + float(image.RescaleSlope) * int(values.min())
    image.BitsStored, image.HighBit, image.PixelRepresentation = 12, 11, 0
    hidden = np.zeros(stored.shape, np.uint16)
    hidden[4:8, 4:12] = 0xF000
    image.PixelData = (stored | hidden).tobytes()


def append_bytes(image):
    image.PixelData = image.PixelData + b"DOE^JOHN 1950"[:12]


@pytest.mark.parametrize("change", [hide_overlay, append_bytes])
@pytest.mark.filterwarnings("ignore:The pixel data")
def test_bits_and_bytes_that_belong_to_no_value_go_and_the_values_stay(tmp_path, change):
    images, before = written(tmp_path, change)
    for image, hu in zip(images, before, strict=True):
        stored = np.frombuffer(image.PixelData, np.int16 if image.PixelRepresentation else np.uint16)
        assert len(image.PixelData) == 2 * 64 * 64
        assert stored.max() < 2 ** int(image.BitsStored)
        np.testing.assert_allclose(stored.reshape(64, 64) * image.RescaleSlope + image.RescaleIntercept, hu)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_compressed_image_becomes_its_values(tmp_path, syntax):
    if syntax == JPEG2000Lossless:
        pytest.importorskip("openjpeg")

    images, before = written(tmp_path, lambda image: image.compress(syntax, generate_instance_uid=False))
    for image, hu in zip(images, before, strict=True):
        assert image.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        np.testing.assert_allclose(image.pixel_array * image.RescaleSlope + image.RescaleIntercept, hu)
