"""Views are checked on patches whose HU is a linear function of position, where interpolation is exact."""

import numpy as np
import pytest
import torch

from ctxai.data.settings import ViewConfig
from ctxai.data.views import render_batch, render_views, turn, turn_back, view_frame
from ctxai.errors import InputError

RAW = ViewConfig(field_of_view_mm=8.0, pixels=8, hu_window=(-5000.0, 5000.0), mean=0.0, std=1.0)


def ramp(axis: int, n: int = 16) -> np.ndarray:
    """HU equal to the signed distance in mm from the patch centre along one axis."""
    along = np.arange(n) - (n - 1) / 2
    shape = [1, 1, 1]
    shape[axis] = n
    return np.broadcast_to(along.reshape(shape), (n, n, n)).astype(np.float32)


def directions(view):
    """(axis, sign) that rises along image columns, rows and with the offset, measured on ramps."""
    found = []
    for axis in range(3):
        image = render_views(ramp(axis), view, (0.0, 1.0), RAW)[:, 0]
        steps = (image[0, 0, 1] - image[0, 0, 0], image[0, 1, 0] - image[0, 0, 0], image[1, 0, 0] - image[0, 0, 0])
        found += [(place, axis, round(float(step))) for place, step in enumerate(steps) if abs(step) > 1e-4]
    return [(axis, sign) for _, axis, sign in sorted(found)]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("axial", [(2, 1), (1, 1), (0, 1)]),
        ("coronal", [(2, 1), (0, -1), (1, 1)]),
        ("sagittal", [(1, 1), (0, -1), (2, 1)]),
    ],
)
def test_columns_rows_and_normal_run_along_the_documented_patient_axes(view, expected):
    assert directions(view) == expected
    frame = view_frame(view)
    assert [(int(c.abs().argmax()), int(c.sum())) for c in frame.T] == expected


def test_the_image_covers_exactly_the_field_of_view_around_the_patch_centre():
    image = render_views(ramp(2), "axial", (0.0,), RAW)[0, 0]
    torch.testing.assert_close(image[0], torch.arange(8) - 3.5)  # pixel centres of 1 mm pixels over 8 mm


def test_a_finer_image_samples_between_the_voxels():
    config = ViewConfig(field_of_view_mm=8.0, pixels=32, hu_window=(-5000.0, 5000.0), mean=0.0, std=1.0)
    image = render_views(ramp(1), "axial", (0.0,), config)[0, 0]
    torch.testing.assert_close(image[:, 0], (torch.arange(32) + 0.5) / 4 - 4)


def test_the_slice_between_two_voxels_is_their_mean():
    hu = np.zeros((16, 16, 16), np.int16)
    hu[8] = 100  # half a millimetre above the centre
    values = render_views(hu, "axial", (-0.5, 0.0, 0.5), RAW)[:, 0, 4, 4]
    torch.testing.assert_close(values, torch.tensor([0.0, 50.0, 100.0]))


def test_outside_of_the_patch_is_air_and_padding_does_not_darken_its_neighbours():
    config = ViewConfig(field_of_view_mm=32.0, pixels=32, mean=0.0, std=1.0)
    hu = np.full((16, 16, 16), -1000, np.int16)
    hu[:, :8] = -32000  # a foreign padding value
    assert torch.equal(render_views(hu, "axial", (0.0,), config), torch.full((1, 3, 32, 32), -1000.0))


def test_values_are_clamped_then_standardised():
    config = ViewConfig(hu_window=(-1000.0, 400.0), mean=-600.0, std=200.0)
    images = render_views(np.full((64, 64, 64), 3000, np.int16), "sagittal", (0.0,), config)
    assert images.shape == (1, 3, 64, 64)
    torch.testing.assert_close(images, torch.full_like(images, 5.0))


def test_a_batch_is_the_same_as_one_by_one():
    hu = torch.randint(-1000, 400, (3, 16, 16, 16), dtype=torch.int16)
    batch = render_batch(hu, "coronal", (-1.0, 0.25), RAW)
    singles = torch.stack([render_views(one, "coronal", (-1.0, 0.25), RAW) for one in hu])
    torch.testing.assert_close(batch, singles)


def test_a_single_slice_has_an_axial_view_only():
    hu = np.full((1, 16, 16), 40, np.int16)
    torch.testing.assert_close(render_views(hu, "axial", (0.0,), RAW), torch.full((1, 3, 8, 8), 40.0))
    with pytest.raises(InputError, match="single axial slices"):
        render_views(hu, "coronal", (0.0,), RAW)


@pytest.mark.parametrize(
    "options",
    [{"views": ("oblique",)}, {"views": ()}, {"hu_window": (400.0, -1000.0)}, {"std": 0.0}, {"slice_offsets_mm": ()}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(InputError, match="views"):
        ViewConfig(**options)


def test_eight_turns_are_all_different_and_come_back():
    image = torch.arange(16.0).reshape(1, 4, 4)
    turned = [turn(image, number) for number in range(8)]
    assert torch.equal(turned[0], image)
    assert len({tuple(one.flatten().tolist()) for one in turned}) == 8
    assert all(torch.equal(turn_back(one, number), image) for number, one in enumerate(turned))
