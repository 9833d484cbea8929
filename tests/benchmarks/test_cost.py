"""The figures of docs/scaling.md are those that its measurements give."""

import importlib.util
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cost():
    spec = importlib.util.spec_from_file_location("benchmarks_cost", REPOSITORY / "benchmarks" / "cost.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_tables_of_the_page_follow_from_the_results(cost):
    page = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
    for table in cost.markdown():
        assert table in page


def test_a_slice_and_a_nodule_explain_the_two_scans_they_come_from(cost):
    units = cost.units()
    for row in cost.read("ingest.csv"):
        if row["what"] == "ctxai":
            seconds = int(row["slices"]) * units["ingest: header of an image"].seconds
            seconds += int(row["nodules"]) * units["ingest: nodule"].seconds
            assert seconds == pytest.approx(float(row["value"]), rel=1e-6)
    assert all(unit.seconds is None or unit.seconds >= 0 for unit in units.values())


def test_costs_grow_with_the_number_of_scans(cost):
    rows = cost.estimates()
    for name in list(rows[0])[2:]:
        assert rows[2][name] / rows[0][name] == pytest.approx(1_000_000 / 1018)
    lidc = rows[0]
    assert lidc["files of DICOM, million"] == pytest.approx(0.2440, abs=0.01)
