import numpy as np
import pytest
import torch

from ctxai.ct.series import read_series
from ctxai.data.patches import Patches
from ctxai.data.random_patches import PretrainingPatches, random_patches
from ctxai.errors import InputError

from cohorts import sphere_store
from synthetic_ct import ct_grid, write_ct


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    """A cylinder of soft tissue, 120 mm wide, in a room of air; each slice has its own HU."""
    folder = tmp_path_factory.mktemp("body") / "ct"
    grid = ct_grid((12, 100, 100), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    rows, columns = np.meshgrid(np.arange(100) - 49.5, np.arange(100) - 49.5, indexing="ij")
    inside = np.hypot(rows, columns) < 30
    hu = np.where(inside, 10 * np.arange(12)[:, None, None], -1000).astype(np.int16)
    write_ct(folder, hu, grid)
    return read_series(folder)


def test_windows_lie_in_the_body_on_the_cts_own_slices(body):
    windows = random_patches(body, 40, (1, 32, 32), seed=0)
    assert windows.shape == (40, 1, 32, 32) and windows.dtype == np.int16
    assert ((windows < -950).mean((1, 2, 3)) <= 0.1).all()
    slices = {int(window.max()) for window in windows}
    assert slices <= set(range(0, 120, 10)) and len(slices) > 5


def test_the_seed_and_the_series_decide_the_windows(body):
    first, again, other = (random_patches(body, 3, (1, 32, 32), seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_ct_without_a_body_is_refused(tmp_path):
    grid = ct_grid((4, 40, 40), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    write_ct(tmp_path, np.full((4, 40, 40), -1000, np.int16), grid)
    with pytest.raises(InputError, match="no place in a body was found"):
        random_patches(read_series(tmp_path), 1, (1, 16, 16), seed=0)


def test_rows_of_the_store_come_first_and_windows_after_them(tmp_path):
    store = sphere_store(tmp_path, nodules=6, depth=1)
    rows = np.array([1, 4, 5])
    windows = np.arange(2, dtype=np.int16)[:, None, None, None] * np.ones((1, 1, 64, 64), np.int16)
    patches = PretrainingPatches(Patches(store, rows), rows, windows)
    assert len(patches) == 5
    expected = [torch.from_numpy(store.hu(row)) for row in rows] + list(torch.from_numpy(windows))
    for order in ([4, 0, 3, 2], [3], [2, 1], [0, 1, 2, 3, 4]):
        assert torch.equal(patches[np.array(order)], torch.stack([expected[i] for i in order]))
