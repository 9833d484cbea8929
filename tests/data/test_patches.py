import numpy as np
import pytest
import torch

from ctxai.data.patches import AIR_HU, Patches
from ctxai.data.store import NoduleStore
from ctxai.errors import StoreError


@pytest.fixture
def store(tmp_path):
    store = NoduleStore.create(tmp_path / "store", 3, (4, 4, 4))
    for row in range(3):
        valid = np.ones((4, 4, 4), np.uint8)
        valid[0] = row != 1
        store.write(row, np.full((4, 4, 4), 100 * row, np.int16), np.zeros_like(valid), valid)
    return store


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_patches_come_in_the_order_asked_for_from_disk_or_memory(store, limit):
    hu = Patches(store, [0, 1, 2], limit)[[2, 0]]
    assert hu.dtype == torch.int16
    assert [int(patch.max()) for patch in hu] == [200, 0]


def test_what_was_not_scanned_is_air(store):
    hu = Patches(store, [1])[[1]][0]
    assert (hu[0] == AIR_HU).all() and (hu[1:] == 100).all()


def test_another_voxel_size_is_refused(tmp_path):
    store = NoduleStore.create(tmp_path / "coarse", 1, (4, 4, 4), spacing_mm=2.0)
    with pytest.raises(StoreError, match=r"2.0 mm, expected 1.0 mm"):
        Patches(store, [0])
