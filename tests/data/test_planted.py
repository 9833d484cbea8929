import numpy as np
import pytest

from ctxai.data.planted import PlantedTruth, is_planted
from ctxai.data.store import NoduleStore
from ctxai.errors import StoreError


@pytest.fixture
def store(tmp_path):
    return NoduleStore.create(tmp_path / "store", 3, (1, 8, 8))


def test_what_is_written_is_read(store):
    assert not is_planted(store)
    evidence = np.zeros((1, 8, 8), bool)
    evidence[0, 2, 3] = True
    PlantedTruth.create(store, {"trait": "core", "seed": 0}).write(1, evidence, evidence * -700)
    truth = PlantedTruth(store)
    assert is_planted(store)
    assert truth.trait == "core"
    assert np.array_equal(truth.evidence(1), evidence)
    assert np.array_equal(truth.counterpart(1), evidence * -700)
    assert not truth.evidence(0).any()


def test_a_store_without_planted_truth_is_refused(store):
    with pytest.raises(StoreError, match="ctxai planted"):
        PlantedTruth(store)


def test_damaged_truth_is_named(store):
    PlantedTruth.create(store, {"trait": "core"})
    (store.path / "planted.json").write_text("{")
    with pytest.raises(StoreError, match="damaged planted truth"):
        PlantedTruth(store)
