"""`ctxai planted` and `ctxai benchmark`, on a store of two dozen nodules and a model of random weights."""

import numpy as np
import pytest

from ctxai.cli import main
from ctxai.data.planted import PlantedTruth
from ctxai.data.store import NoduleStore


def test_the_label_is_the_trait_and_the_counterpart_lacks_it(planted_store):
    store = NoduleStore(planted_store)
    truth, table = PlantedTruth(store), store.table
    assert truth.trait == "core"
    assert table["label_malignancy"].sum() == len(table) / 2
    for row in range(4):
        dense = [np.median(hu[truth.evidence(row)]) for hu in (store.hu(row), truth.counterpart(row))]
        assert (dense[0] > dense[1] + 200) == (table["label_malignancy"][row] == 1)


def test_the_biomarkers_do_not_follow_the_label(planted_store):
    table = NoduleStore(planted_store).table
    means = table.groupby("label_malignancy")[["lobulation_mean", "margin_mean", "diameter_mm"]].mean()
    spread = table[["lobulation_mean", "margin_mean", "diameter_mm"]].std()
    assert ((means.loc[1.0] - means.loc[0.0]).abs() < 1.3 * spread).all()
    assert table.groupby("patient_id")["fold"].nunique().max() == 1


def test_a_finished_store_is_left_and_another_one_refused(planted_store, capsys):
    before = (planted_store / "nodules.parquet").stat().st_mtime_ns
    command = ["planted", str(planted_store), "--trait", "core", "--nodules", "24"]
    assert main(command) == 0
    assert (planted_store / "nodules.parquet").stat().st_mtime_ns == before
    assert main([*command, "--seed", "1"]) == 2
    assert "another store" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--trait", "halo"], ["--nodules", "3"]])
def test_an_unknown_trait_or_too_few_nodules_are_refused(wrong, tmp_path, capsys):
    assert main(["planted", str(tmp_path / "store"), *wrong]) == 2
    assert "expected" in capsys.readouterr().err
