import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from ctxai.cli import main

REPOSITORY = Path(__file__).parents[2]
SNAKEFILE = REPOSITORY / "pipelines" / "Snakefile"
PATIENTS = ["LIDC-IDRI-0049", "LIDC-IDRI-0962"]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None, reason="Snakemake is absent: pip install 'ctxai[cluster]'"
)


def snakemake(folder, config, *arguments):
    (folder / "my.yaml").write_text(yaml.safe_dump(config))
    options = ["--snakefile", SNAKEFILE, "--configfile", "my.yaml", "--cores", "2", "--nolock", *arguments]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "snakemake", *map(str, options)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def planned(folder, config, *arguments):
    """How often each rule would run."""
    done = snakemake(folder, config, "--dry-run", "--quiet=rules", *arguments)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    return Counter(
        {name: int(count) for name, count in (line for line in lines if len(line) == 2 and line[1].isdigit())}
    )


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_configured_workflow_draws_a_phantom_and_trains_before_it_knows_whom_to_explain(tmp_path):
    jobs = planned(tmp_path, {"ingest": {"shards": 3}})
    assert jobs.pop("total") == 8
    assert jobs == {"phantom": 1, "ingest": 3, "merge": 1, "train": 1, "evaluate": 1, "all": 1}


def test_patients_of_a_list_are_explained_each_in_a_job_and_real_data_needs_no_phantom(tmp_path):
    for patient in PATIENTS:
        (tmp_path / "tcia" / patient).mkdir(parents=True)
    jobs = planned(tmp_path, {"dicom": "tcia", "ingest": {"shards": 1}, "explain": {"patients": PATIENTS}})
    assert jobs.pop("total") == 7
    assert jobs == {"ingest": 1, "merge": 1, "train": 1, "evaluate": 1, "explain": 2, "all": 1}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ingest": {"shard": 3}}, "'shard' was unexpected"),
        ({"dicom": "tcia", "explain": {"patients": PATIENTS}}, f"no folder {PATIENTS[0]}"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(tmp_path, config, message):
    done = snakemake(tmp_path, config, "--dry-run")
    assert done.returncode == 1
    assert message in done.stdout + done.stderr


def test_shards_of_the_workflow_make_the_store_that_a_plain_ingest_makes(tmp_path):
    phantom = {"patients": PATIENTS, "margin_mm": 2, "seed": 0}
    config = {"out": "out", "phantom": phantom, "ingest": {"shards": 2}, "threads": {"phantom": 1}}
    done = snakemake(tmp_path, config, "merge")
    out = tmp_path / "out"
    assert done.returncode == 0, done.stderr + "".join(log.read_text() for log in out.glob("logs/*.log"))
    logs = sorted(log.name for log in (out / "logs").iterdir())
    assert logs == ["ingest-0-of-2.log", "ingest-1-of-2.log", "merge.log", "phantom.log"]
    parts = [json.loads(part.read_text()) for part in (out / "store" / "parts").iterdir()]
    assert len(parts) == 2
    assert main(["ingest", str(out / "dicom"), str(tmp_path / "plain")]) == 0
    assert files(out / "store") == files(tmp_path / "plain")
    assert "patches.zarr/hu/c/0/0/0/0" in files(out / "store")
    assert planned(tmp_path, config, "merge") == {}, "finished work is planned again"
