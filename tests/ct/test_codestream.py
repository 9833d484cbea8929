import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from ctxai.ct.codestream import coded_size

from synthetic_ct import write_ct


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_the_size_is_that_of_the_image_that_was_coded(tmp_path, syntax):
    dataset = pydicom.dcmread(write_ct(tmp_path, np.zeros((1, 48, 72), np.int16))[0])
    dataset.PixelRepresentation = 0
    try:
        dataset.compress(syntax, dataset.pixel_array.astype(np.uint16), generate_instance_uid=False)
    except (RuntimeError, ValueError) as error:
        pytest.skip(f"no encoder: {error}")
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert coded_size(frame) == (48, 72)


def test_the_size_of_a_jpeg_is_found_behind_its_tables():
    file = io.BytesIO()
    Image.new("L", (72, 48)).save(file, "JPEG")
    assert coded_size(file.getvalue()) == (48, 72)


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xff\xff", b"\xff\x4f\xff\x51", b"\0" * 100])
def test_nothing_is_said_of_what_says_nothing(frame):
    assert coded_size(frame) is None
