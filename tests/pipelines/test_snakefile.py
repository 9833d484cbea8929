import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from ctxai.cli import main

from folders import contents

REPOSITORY = Path(__file__).parents[2]
SNAKEFILE = REPOSITORY / "pipelines" / "Snakefile"
PROFILE = REPOSITORY / "pipelines" / "profiles" / "local"
PATIENTS = ["LIDC-IDRI-0049", "LIDC-IDRI-0962"]
#: The configuration of the workflow that is done.
BASE = {"out": "out", "dicom": "tcia", "ingest": {"shards": 2}, "explain": {"shards": 2}}
BASE |= {"train": {"config": "mine.yaml"}}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None, reason="Snakemake is absent: pip install 'ctxai[cluster]'"
)


def command_of(folder, config, *arguments):
    """The command line and the options of its process."""
    (folder / "my.yaml").write_text(yaml.safe_dump(config))
    options = ["--snakefile", SNAKEFILE, "--configfile", "my.yaml", "--cores", "2", *arguments]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    environment["PYTHONPATH"] = str(REPOSITORY)
    return [sys.executable, "-m", "snakemake", *map(str, options)], {"cwd": folder, "env": environment, "text": True}


def snakemake(folder, config, *arguments):
    command, options = command_of(folder, config, "--nolock", *arguments)
    return subprocess.run(command, **options, capture_output=True, timeout=900)


def planned(folder, config, *arguments):
    """How often each rule would run."""
    done = snakemake(folder, config, "--dry-run", "--quiet=rules", *arguments)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    return Counter(
        {name: int(count) for name, count in (line for line in lines if len(line) == 2 and line[1].isdigit())}
    )


def test_the_configured_workflow_goes_from_a_phantom_to_a_page(tmp_path):
    jobs = planned(tmp_path, {"ingest": {"shards": 3}, "explain": {"shards": 2}})
    assert jobs.pop("total") == 12
    assert jobs == {
        **{"phantom": 1, "manifest": 1, "ingest": 3, "merge": 1, "train": 1, "evaluate": 1},
        **{"explain": 2, "report": 1, "all": 1},
    }


def test_every_test_fold_has_its_run_and_its_page_and_real_data_needs_no_phantom(tmp_path):
    (tmp_path / "tcia" / "LIDC-IDRI-0001").mkdir(parents=True)
    config = {"dicom": "tcia", "ingest": {"shards": 1}, "train": {"folds": [0, 1, 4]}, "explain": {"shards": 2}}
    jobs = planned(tmp_path, config)
    assert jobs.pop("total") == 19
    assert jobs == {
        **{"manifest": 1, "ingest": 1, "merge": 1, "train": 3, "evaluate": 3, "explain": 6, "report": 3, "all": 1}
    }
    done = snakemake(tmp_path, config, "--dry-run", "--printshellcmds")
    assert "--folds.test 4 --folds.validation 0" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ingest": {"shard": 3}}, "'shard' was unexpected"),
        ({"train": {"folds": [5]}}, "5 is greater than the maximum of 4"),
        ({"dicom": "tcia"}, "tcia: no such folder"),
        ({"out": "o{u}t"}, "o{u}t: Snakemake takes braces in a path for wildcards"),
        ({"dicom": "tc{ia"}, "tc{ia: Snakemake takes braces in a path for wildcards"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(tmp_path, config, message):
    done = snakemake(tmp_path, config, "--dry-run")
    assert done.returncode == 1
    assert message in done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(path.name for path in (REPOSITORY / "pipelines" / "profiles").iterdir()))
def test_a_profile_is_read_and_its_settings_are_options_of_snakemake(tmp_path, name):
    profile = REPOSITORY / "pipelines" / "profiles" / name
    done = snakemake(tmp_path, {}, "--workflow-profile", profile, "--executor", "dryrun", "--dry-run", "--quiet=all")
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load((profile / "config.yaml").read_text())
    assert settings["rerun-triggers"] == ["params", "input", "mtime"]
    rules = {line.split()[1].rstrip(":") for line in SNAKEFILE.read_text().splitlines() if line.startswith("rule ")}
    assert set(settings.get("set-resources", {})) <= rules


#: A change of the configuration, or of a file that a job leaves, and the rules that depend on it.
CHANGES = {
    "nothing": ({}, None, set()),
    "formats": ({"explain": {"formats": "nifti"}}, None, {"explain", "report"}),
    "seed": ({"train": {"seed": 7}}, None, {"train", "evaluate", "explain", "report"}),
    "one fold more": ({"train": {"folds": [0, 1]}}, None, {"train", "evaluate", "explain", "report"}),
    "cohort": (
        {"ingest": {"cohort": "conrad"}},
        None,
        {"manifest", "ingest", "merge", "train", "evaluate", "explain", "report"},
    ),
    "shards of explain": ({"explain": {"shards": 3}}, None, {"explain", "report"}),
    "the file of settings": (
        {},
        ("mine.yaml", "seed: 0\noptim: {epochs: 2}\n"),
        {"train", "evaluate", "explain", "report"},
    ),
    "threads": ({"threads": {"train": 1, "ingest": 2}}, None, set()),
    "a newer time stamp": ({}, ("out/store/nodules.parquet", None), set()),
    "another store": ({}, ("out/store/nodules.parquet", "other"), {"train", "evaluate", "explain", "report"}),
    "another training": ({}, ("out/state/train-fold0.done", "other"), {"evaluate", "explain", "report"}),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which Snakemake believes that the whole workflow is done."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "tcia" / "LIDC-IDRI-0001").mkdir(parents=True)
    (folder / "mine.yaml").write_text("seed: 0\n")
    state = ["manifest", *(f"ingest-{k}-of-2" for k in range(2)), "train-fold0", "evaluate-fold0"]
    state += [f"explain-fold0-{k}-of-2" for k in range(2)]
    for name in [*(f"state/{name}.done" for name in state), "store/nodules.parquet", "explained/fold0/report.html"]:
        (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "out" / name).write_text(name)
    touched = snakemake(folder, BASE, "--touch", "--forceall")
    assert touched.returncode == 0, touched.stderr
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_redoes_exactly_what_depends_on_it(done, tmp_path, change):
    config, file, rules = CHANGES[change]
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    if file is not None:
        path = folder / file[0]
        path.write_text(path.read_text() if file[1] is None else file[1])
    merged = BASE | {name: {**BASE.get(name, {}), **value} for name, value in config.items()}
    jobs = planned(folder, merged, "--workflow-profile", PROFILE)
    assert set(jobs) - {"all", "total"} == rules
    if change == "one fold more":
        assert (jobs["train"], jobs["explain"]) == (1, 2), "the first fold is planned again"


def test_the_same_command_goes_on_after_a_kill_and_a_second_one_at_once_is_refused(tmp_path):
    phantom = {"patients": PATIENTS, "margin_mm": 2, "seed": 0}
    config = {"out": "out", "phantom": phantom, "ingest": {"shards": 1}, "threads": {"phantom": 1}}
    command, options = command_of(tmp_path, config, "--workflow-profile", PROFILE, "manifest")
    first = subprocess.Popen(command, **options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
    wait_until(lambda: list(tmp_path.glob("out/dicom/*/*")) or first.poll() is not None)
    second = subprocess.run(command, **options, capture_output=True, timeout=300)
    assert second.returncode == 1
    assert f"`ctxai pipeline` (process {first.pid} on " in second.stdout + second.stderr
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    again = subprocess.run(command, **options, capture_output=True, timeout=600)
    assert again.returncode == 0, again.stderr + "".join(log.read_text() for log in tmp_path.glob("out/logs/*.log"))
    assert (tmp_path / "out" / "state" / "manifest.done").is_file()


def wait_until(happened):
    for _ in range(600):
        if happened():
            return
        time.sleep(0.2)
    pytest.fail("it has not happened")


def test_new_patients_of_the_tree_are_seen(done, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    (folder / "tcia" / "LIDC-IDRI-0002").mkdir()
    assert "manifest" in planned(folder, BASE, "--workflow-profile", PROFILE)


def test_shards_of_the_workflow_make_the_store_that_a_plain_ingest_makes(tmp_path):
    phantom = {"patients": PATIENTS, "margin_mm": 2, "seed": 0}
    config = {"out": "out", "phantom": phantom, "ingest": {"shards": 2}, "threads": {"phantom": 1}}
    done = snakemake(tmp_path, config, "store")
    out = tmp_path / "out"
    assert done.returncode == 0, done.stderr + "".join(log.read_text() for log in out.glob("logs/*.log"))
    assert {path.name for path in (out / "logs").iterdir()} == {"ingest", "manifest.log", "merge.log", "phantom.log"}
    assert "cpu_time" in (out / "times" / "ingest" / "0-of-2.tsv").read_text()
    assert all((out / "state" / f"ingest-{k}-of-2.done").read_text().endswith(f"{k}/2\n") for k in range(2))
    parts = [json.loads(part.read_text()) for part in (out / "store" / "parts").iterdir()]
    assert len(parts) == 2
    assert main(["ingest", str(out / "dicom"), str(tmp_path / "plain")]) == 0
    assert contents(out / "store") == contents(tmp_path / "plain")
    assert "patches.zarr/hu/c/0/0/0/0" in contents(out / "store")
    assert planned(tmp_path, config, "store") == {}, "finished work is planned again"
