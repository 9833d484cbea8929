import json

import numpy as np

from ctxai.data.labels import Split
from ctxai.data.store import TABLE
from ctxai.files import sha256
from ctxai.run.provenance import git_commit, provenance_of

from cohorts import sphere_store


def test_the_record_names_every_patient_and_nodule_and_the_store(tmp_path):
    store = sphere_store(tmp_path / "store", nodules=6, depth=1)
    split = Split(np.array([0, 1, 2]), np.array([3]), np.array([5]))
    record = provenance_of(store.path, store.table, split, seed=4)
    assert record["patients"] == {"training": ["P000", "P001"], "validation": ["P001"], "test": ["P002"]}
    assert record["nodules"]["training"] == ["N000", "N001", "N002"]
    assert record["store"] == {"table_sha256": sha256(store.path / TABLE), "nodules": 6}
    assert record["seed"] == 4 and record["packages"]["torch"]
    assert str(tmp_path) not in json.dumps(record)
    assert record == provenance_of(store.path, store.table, split, seed=4)


def test_the_commit_is_a_hash_or_nothing():
    commit = git_commit()
    assert commit is None or (len(commit) == 40 and set(commit) <= set("0123456789abcdef"))
