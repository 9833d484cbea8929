import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ctxai.data.store import ARRAYS, LAYOUT, TABLE, NoduleStore
from ctxai.errors import StoreError

from cohorts import label_table
from folders import contents

SHAPE = (6, 8, 10)
SPAWN = multiprocessing.get_context("spawn")


def patch(row, shape=SHAPE):
    """Arrays in which every row and every voxel differs, and no axis can be mistaken for another."""
    hu = np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 1024 + row
    return hu, (hu % 5).astype(np.uint8), (hu % 3 > 0).astype(np.uint8)


def write_rows(path, rows, count, barrier=None):
    if barrier is not None:
        barrier.wait(60)  # so that all processes make the store at the same moment
    store = NoduleStore.create(path, count, SHAPE)
    for row in rows:
        store.write(row, *patch(row))


@pytest.mark.parametrize("shape", [SHAPE, (1, 8, 10)])
def test_what_is_written_is_read_back(tmp_path, shape):
    NoduleStore.create(tmp_path / "store", 3, shape, spacing_mm=0.5).write(1, *patch(1, shape))
    store = NoduleStore(tmp_path / "store")
    hu, agreement, valid = patch(1, shape)
    assert (len(store), store.patch_shape, store.spacing_mm) == (3, shape, 0.5)
    for found, expected in ((store.hu(1), hu), (store.agreement(1), agreement), (store.valid(1), valid.astype(bool))):
        assert found.dtype == expected.dtype
        assert_array_equal(found, expected)


def test_the_table_comes_back_row_by_row_with_its_types(tmp_path):
    store = NoduleStore.create(tmp_path, 4, SHAPE)
    table = label_table(4)
    table.loc[2, "label_malignancy"] = np.nan
    store.write_table(table)
    found = store.table
    assert list(found.columns) == list(table.columns)
    assert found.nodule_id.tolist() == table.nodule_id.tolist()
    assert found.fold.dtype == table.fold.dtype
    assert found.label_malignancy.isna().tolist() == [False, False, True, False]


def test_the_same_layout_is_opened_again_with_what_is_in_it(tmp_path):
    NoduleStore.create(tmp_path, 3, SHAPE).write(2, *patch(2))
    assert_array_equal(NoduleStore.create(tmp_path, 3, SHAPE).hu(2), patch(2)[0])


@pytest.mark.parametrize("other", [{"rows": 4}, {"patch_shape": (6, 10, 8)}, {"spacing_mm": 2.0}])
def test_another_layout_is_refused_and_the_store_stays(tmp_path, other):
    store = NoduleStore.create(tmp_path, 3, SHAPE)
    store.write(0, *patch(0))
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="another layout"):
        NoduleStore.create(tmp_path, **{"rows": 3, "patch_shape": SHAPE} | other)
    assert contents(tmp_path) == before


def test_arrays_of_another_patch_shape_are_refused_by_name(tmp_path):
    store = NoduleStore.create(tmp_path, 3, SHAPE)
    hu, agreement, valid = patch(0)
    with pytest.raises(StoreError, match="agreement of row 0"):
        store.write(0, hu, agreement.transpose(0, 2, 1), valid)


def test_a_store_without_its_table_says_that_ingestion_is_not_finished(tmp_path):
    store = NoduleStore.create(tmp_path, 3, SHAPE)
    with pytest.raises(StoreError, match="ingest --merge"):
        _ = store.table


def test_a_table_of_another_length_is_refused(tmp_path):
    with pytest.raises(StoreError, match="4 rows for 3 nodules"):
        NoduleStore.create(tmp_path, 3, SHAPE).write_table(label_table(4))


def test_processes_that_write_different_rows_at_once_give_the_same_bytes_as_one(tmp_path):
    rows = range(6)
    write_rows(tmp_path / "one", rows, len(rows))
    barrier = SPAWN.Barrier(2)
    parts = [SPAWN.Process(target=write_rows, args=(tmp_path / "two", rows[i::2], 6, barrier)) for i in range(2)]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    assert [part.exitcode for part in parts] == [0, 0]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_process_that_makes_the_store_late_keeps_what_others_wrote(tmp_path):
    """The second process saw no layout yet, as when two shards start together."""
    first = NoduleStore.create(tmp_path, 3, SHAPE)
    first.write(0, *patch(0))
    (tmp_path / LAYOUT).unlink()
    assert_array_equal(NoduleStore.create(tmp_path, 3, SHAPE).hu(0), patch(0)[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAYOUT, ARRAYS]


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="not a nodule store"):
        NoduleStore(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", None])
@pytest.mark.parametrize("name", [LAYOUT, f"{ARRAYS}/zarr.json", f"{ARRAYS}/hu/zarr.json"])
def test_a_store_with_a_damaged_description_is_refused(tmp_path, name, content):
    NoduleStore.create(tmp_path, 3, SHAPE)
    file = tmp_path / name
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged store|not a nodule store"):
        NoduleStore(tmp_path)


def test_a_layout_of_other_arrays_is_refused(tmp_path):
    NoduleStore.create(tmp_path / "a", 3, SHAPE)
    NoduleStore.create(tmp_path / "b", 4, SHAPE)
    (tmp_path / "b" / LAYOUT).replace(tmp_path / "a" / LAYOUT)
    with pytest.raises(StoreError, match="do not fit"):
        NoduleStore(tmp_path / "a")


def test_a_damaged_chunk_names_its_row(tmp_path):
    store = NoduleStore.create(tmp_path, 3, SHAPE)
    store.write(1, *patch(1))
    chunk = tmp_path / ARRAYS / "hu/c/1/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:9])
    with pytest.raises(StoreError, match="hu of row 1"):
        store.hu(1)
    assert_array_equal(store.agreement(1), patch(1)[1])


def test_a_damaged_table_is_named(tmp_path):
    store = NoduleStore.create(tmp_path, 3, SHAPE)
    store.write_table(label_table(3))
    Path(tmp_path, TABLE).write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=TABLE):
        _ = store.table
