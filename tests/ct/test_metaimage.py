import re

import numpy as np
import pytest
import SimpleITK as sitk

from ctxai.ct.geometry import Fault
from ctxai.ct.metaimage import MetaImage
from ctxai.errors import InputError

from synthetic_ct import ct_grid, rotated

HU = np.random.default_rng(0).integers(-1000, 3000, (4, 6, 8)).astype(np.int16)
GRID = ct_grid(HU.shape, orientation=rotated(20))


def written(folder, hu=HU, name="1.2.3.mhd", compressed=False):
    """As ITK writes it."""
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(GRID.spacing_mm.tolist())
    image.SetOrigin(GRID.affine[:3, 3].tolist())
    image.SetDirection((GRID.affine[:3, :3] / GRID.spacing_mm).ravel().tolist())
    sitk.WriteImage(image, str(folder / name), compressed)
    return folder / name


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["1.2.3.mhd", "1.2.3.mha"])
@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32])
def test_what_itk_writes_is_read_to_the_same_voxels_at_the_same_place(tmp_path, name, compressed, kind):
    image = MetaImage(written(tmp_path, HU.astype(kind), name, compressed))
    np.testing.assert_array_equal(image.read(), HU)
    np.testing.assert_array_equal(image.read(1, 3, (slice(2, 5), slice(1, 7))), HU[1:3, 2:5, 1:7])
    np.testing.assert_allclose(image.grid.affine, GRID.affine, atol=1e-5)
    assert image.series_uid == "1.2.3"


def test_big_endian_voxels_are_read(tmp_path):
    path = written(tmp_path)
    path.write_text(path.read_text().replace("ByteOrderMSB = False", "ByteOrderMSB = True"))
    (tmp_path / "1.2.3.raw").write_bytes(HU.astype(">i2").tobytes())
    np.testing.assert_array_equal(MetaImage(path).read(), HU)


def test_padding_becomes_air_and_is_told(tmp_path):
    image = MetaImage(written(tmp_path, np.where(HU < 0, -3024, HU).astype(np.int16)))
    assert image.read().min() == -1024
    assert "-3024" in image.pixel_faults[Fault.PADDING]


@pytest.mark.parametrize(
    ("line", "instead", "words"),
    [
        ("NDims", "NDims = 2", "three dimensions"),
        ("DimSize", "DimSize = 99999 6 4", "DimSize"),
        ("DimSize", "DimSize = 4096 4096 4096", "GiB"),
        ("ElementSpacing", "ElementSpacing = 0 1 1", "ElementSpacing"),
        ("ElementType", "ElementType = MET_OTHER", "ElementType"),
        ("TransformMatrix", "TransformMatrix = 1 0 0 1 0 0 0 0 1", "right angles"),
        ("Offset", "Offset = nan 0 0", "finite"),
        ("Offset", "Comment = 0", "Offset is missing"),
        ("ElementDataFile", "ElementDataFile = ../secret.raw", "beside it"),
        ("ElementDataFile", "ElementDataFile = /etc/hostname", "beside it"),
    ],
)
def test_a_header_that_no_ct_has_is_refused(tmp_path, line, instead, words):
    path = written(tmp_path)
    path.write_text(re.sub(rf"(?m)^{line} .*$", instead, path.read_text()))
    with pytest.raises(InputError, match=words):
        MetaImage(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_missing_or_short_voxels_are_refused(tmp_path, compressed):
    path = written(tmp_path, compressed=compressed)
    voxels = next(file for file in tmp_path.iterdir() if file != path)
    voxels.write_bytes(voxels.read_bytes()[:-9])
    with pytest.raises(InputError, match="voxels cannot be read"):
        MetaImage(path).read()
    voxels.unlink()
    with pytest.raises(InputError, match="beside it"):
        MetaImage(path).read()
