"""Headers that were kept are the headers that were read."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctxai.ct.header_table import Owner, read_headers, read_owners, write_headers
from ctxai.ct.search import find_series
from ctxai.errors import InputError

from synthetic_ct import ct_grid, rotated, write_ct

ANOTHER = {"PatientID": "another", "IssuerOfPatientID": "HOSPITAL", "BurnedInAnnotation": "YES"}


@pytest.fixture
def tree(tmp_path):
    """Three series; one oblique, one without a thickness and an instance number."""
    attributes = {
        "b": {},
        "a": {"SliceThickness": None, "InstanceNumber": None},
        "c": ANOTHER,
    }
    for number, name in enumerate(attributes):
        grid = ct_grid((4, 8, 10), orientation=rotated(10 * number))
        hu = np.zeros(grid.shape, np.int16)
        write_ct(tmp_path / "tree" / name, hu, grid, seed=name, attributes=attributes[name])
    return tmp_path / "tree"


def same(one, other):
    return all(
        np.array_equal(*(getattr(each, field.name) for each in (one, other)), equal_nan=field.type == "float")
        for field in fields(one)
        if field.name != "given"
    )


def test_headers_come_back_as_they_were_in_the_order_of_the_tree(tree, tmp_path):
    found = find_series(tree)
    write_headers(tmp_path / "headers.parquet", tree, found)
    kept = read_headers(tmp_path / "headers.parquet", tree)
    assert list(kept) == list(found)
    assert all(len(kept[uid]) == len(found[uid]) == 4 for uid in found)
    assert all(same(*pair) for uid in found for pair in zip(kept[uid], found[uid], strict=True))
    uid = list(found)[1]
    assert not same(kept[uid][0], found[uid][1])
    assert kept[uid][0].source_label == found[uid][0].source_label
    assert all([a.fingerprint for a in kept[uid]] == [b.fingerprint for b in found[uid]] for uid in found)
    again = tmp_path / "again.parquet"
    write_headers(again, tree, kept)
    assert again.read_bytes() == (tmp_path / "headers.parquet").read_bytes()


def test_only_the_series_that_are_asked_for_are_made_and_every_owner_is_known(tree, tmp_path):
    path = tmp_path / "headers.parquet"
    found = find_series(tree)
    write_headers(path, tree, found)
    uids = list(found)
    assert list(read_headers(path, tree, [uids[2], uids[0]])) == [uids[0], uids[2]]
    assert read_headers(path, tree, []) == {}
    owners = read_owners(path)
    assert list(owners) == uids
    assert owners[uids[2]] == Owner("another", found[uids[2]][0].study_uid, "HOSPITAL")
    assert path.stat().st_mode & 0o077 == 0, "it holds PatientIDs"


def test_a_file_that_is_missing_foreign_or_leads_out_of_the_tree_is_refused(tree, tmp_path):
    path = tmp_path / "headers.parquet"
    with pytest.raises(InputError, match="no such file of headers"):
        read_headers(path, tree)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match="not a file of headers"):
        read_owners(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="damaged"):
        read_owners(path)
    with pytest.raises(InputError, match="holds something else"):
        write_headers(path, tree, find_series(tree))
    path.unlink()
    write_headers(path, tree, find_series(tree))
    table = pq.read_table(path)
    places = pa.array(["../elsewhere.dcm", *table["path"].to_pylist()[1:]])
    pq.write_table(table.set_column(0, table.schema.field("path"), places), path)
    with pytest.raises(InputError, match="outside"):
        read_headers(path, tree)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("patient_id", pa.array([b"\xbe", *[b""] * 11]).view(pa.string())),  # not UTF-8
        ("series_uid", pa.nulls(12, pa.string())),
        ("position", pa.array([[1.0, 2.0]] * 12)),
    ],
)
def test_what_no_header_says_is_refused(tree, tmp_path, column, values):
    path = tmp_path / "headers.parquet"
    write_headers(path, tree, find_series(tree))
    table = pq.read_table(path)
    place = table.column_names.index(column)
    pq.write_table(
        table.set_column(place, table.schema.field(column), values.cast(table.schema.field(column).type)), path
    )
    with pytest.raises(InputError, match="damaged"):
        read_headers(path, tree)


def test_a_flipped_bit_is_found(tree, tmp_path):
    path = tmp_path / "headers.parquet"
    write_headers(path, tree, find_series(tree))
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_headers(path, tree)
