"""What `benchmarks/scale.py` measures is what it says, and grows no faster than the cohort."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from ctxai.errors import StoreError
from ctxai.ingestion.bookkeeping import read_manifest

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("benchmarks_scale", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_made_up_cohort_is_one_that_ingestion_takes_for_done(scale, tmp_path):
    scale.make_cohort(tmp_path, 12, 2)
    assert read_manifest(tmp_path / "store").series_uid.nunique() == 12
    parts = {path: path.read_bytes() for path in (tmp_path / "store" / "parts").iterdir()}
    for what in scale.MEASURES:
        scale.work_of(what, tmp_path, 12)()
    assert len(parts) == 12
    assert {path: path.read_bytes() for path in (tmp_path / "store" / "parts").iterdir()} == parts
    assert (tmp_path / "store" / "nodules.parquet").is_file()


def test_a_scan_that_was_changed_is_not_taken_for_done(scale, tmp_path):
    scale.make_cohort(tmp_path, 3, 2)
    part = next((tmp_path / "store" / "parts").iterdir())
    part.write_text(part.read_text().replace('"digest": "', '"digest": "0'))
    with pytest.raises(StoreError, match="not a nodule store"):  # so it was about to be ingested
        scale.work_of("no-op ingest", tmp_path, 3)()


def kept():
    with (REPOSITORY / "benchmarks" / "results" / "scale.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_results_that_are_kept_are_linear(scale):
    rows = kept()
    assert {row["what"] for row in rows} <= {*scale.MEASURES, *scale.WORKFLOWS}
    assert {int(row["rows"]) for row in rows} == {1000, 3000, 10_000}
    assert max(float(row["per_row"] or 0) for row in rows) < 1.5


@pytest.mark.soak
def test_bookkeeping_of_ten_thousand_nodules_is_linear(tmp_path):
    out = tmp_path / "scale.csv"
    subprocess.run([sys.executable, SCRIPT, "--csv", out], check=True)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert max(float(row["per_row"]) for row in rows) < 2
    assert max(float(row["peak_mb"]) for row in rows if row["what"] in ("manifest", "DAG")) < 1000
