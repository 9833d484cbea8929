"""The workflow on a SLURM: the bytes of one machine, and nothing lost when jobs, nodes or the driver are killed."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from system.slurm import NODES, wait_until

pytestmark = pytest.mark.system

PIPELINES = Path(__file__).parents[2] / "pipelines"

# A malignant and a benign nodule in each of the folds 0 (test), 1 (validation) and 2 to 4 (training), close together.
PATIENTS = ["LIDC-IDRI-0708", "LIDC-IDRI-0407", "LIDC-IDRI-0347", "LIDC-IDRI-0375", "LIDC-IDRI-0237"]
CONFIG = {
    "out": "out",
    "phantom": {"patients": PATIENTS, "margin_mm": 2, "seed": 0},
    "ingest": {"shards": 2},
    "train": {"config": "brief.yaml"},
    "explain": {"shards": 2, "formats": "nifti"},
    "threads": {"phantom": 1, "train": 1},
}
TRAINING = {"views": {"views": ["axial"]}, "backbone": {"depth": 1}, "optim": {"epochs": 2, "batch_size": 4}}

# Before the next thing is killed; the whole workflow takes some two minutes.
LONGEST_WAIT_S = 40

# What says when and how long, or holds it, and therefore is of no interest.
TIMES = re.compile(r"^(logs|times)/|\.snakemake|\.html$")


class Workflow:
    """The workflow in a folder of its own, driven on this machine or through SLURM."""

    def __init__(self, folder, profile, slurm, **config):
        folder.mkdir()
        self.folder, self.out, self.slurm, self.status = folder, folder / "out", slurm, None
        (folder / "brief.yaml").write_text(yaml.safe_dump(TRAINING))
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | config))
        options = ["--snakefile", PIPELINES / "Snakefile", "--configfile", "config.yaml"]
        options += ["--workflow-profile", PIPELINES / "profiles" / profile]
        if profile == "slurm":  # as little waiting as SLURM allows; these nodes are one machine
            options += ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5"]
        else:
            options += ["--cores", "2"]
        self.command = [sys.executable, "-m", "snakemake", *map(str, options)]
        self.environment = slurm.environment | {
            "XDG_CACHE_HOME": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }

    def start(self, *arguments):
        """Its driver, in a process."""
        log = (self.folder / "driver.log").open("ab")
        with log:
            return subprocess.Popen(
                [*self.command, *arguments], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def finish(self, driver, seconds=300):
        """Whether the driver has done all it was asked for."""
        self.status = driver.wait(seconds)
        return self.status == 0

    def run(self, *arguments):
        """Everything that is still to be done; fails with what was said."""
        assert self.finish(self.start(*arguments)), self.said()

    def said(self):
        logs = [self.folder / "driver.log", *self.out.glob("logs/**/*.log")]
        return "\n".join([f"ended with {self.status}", *(f"== {log}\n{log.read_text()}" for log in logs)])

    def planned(self, *arguments):
        """The rules that would run."""
        command = [*self.command, *arguments, "--dry-run", "--quiet=rules"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in (done.stdout + done.stderr).splitlines()]
        return {name: int(number) for name, number in (line for line in lines if len(line) == 2 and line[1].isdigit())}

    def job(self, comment):
        """The id of the running job of a rule, None before it runs."""
        queue = self.slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%i %Z %k").splitlines()
        lines = [line.split() for line in queue if str(self.folder) in line and comment in line]
        return lines[0][0] if lines else None

    def rules_at_work(self):
        """The rules whose jobs run, as SLURM names them."""
        queue = self.slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%k").split()
        return " ".join(sorted(queue)) or "nothing"

    def parts(self):
        """The series that are in the store."""
        return sorted((self.out / "store" / "parts").glob("[!.]*.json"))


def files(folder):
    """Bytes of all files below, by name."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not TIMES.search(name)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.fixture(scope="module")
def pair(slurm, tmp_path_factory):
    """The whole workflow done twice at the same time: on this machine, and through SLURM."""
    folder = tmp_path_factory.mktemp("pair")
    local, cluster = (Workflow(folder / profile, profile, slurm) for profile in ("local", "slurm"))
    drivers = [local.start(), cluster.start()]
    done = [workflow.finish(driver, 900) for workflow, driver in zip((local, cluster), drivers, strict=True)]
    assert done == [True, True], local.said() + cluster.said()
    return local, cluster


@pytest.fixture
def ingestion(pair, slurm, tmp_path):
    """A workflow of its own over the same scans, as far as the store, through SLURM."""
    return Workflow(tmp_path / "ingestion", "slurm", slurm, dicom=str(pair[0].out / "dicom"))


def test_slurm_gives_the_bytes_of_one_machine(pair):
    local, cluster = (files(workflow.out) for workflow in pair)
    assert {"store/manifest.csv", "store/nodules.parquet", "runs/fold0/weights.safetensors"} <= local.keys()
    assert "runs/fold0/metrics.json" in local
    assert json.loads(local["runs/fold0/metrics.json"])
    assert_same(cluster, local)
    assert pair[1].planned() == {}


def test_a_shard_that_was_killed_is_done_again_alone(pair, ingestion):
    driver = ingestion.start("store")
    job = wait_until(lambda: ingestion.parts() and ingestion.job("rule_ingest_wildcards_1"), "a shard at work", 300)
    before = {part: part.stat().st_mtime_ns for part in ingestion.parts()}
    ingestion.slurm.run("scancel", "--signal=KILL", "--full", job)
    assert not ingestion.finish(driver), "the driver did not notice"
    assert ingestion.planned("store") == {"ingest": 1, "merge": 1, "store": 1, "total": 3}
    ingestion.run("store")
    assert {part: part.stat().st_mtime_ns for part in before} == before, "a series was done twice"
    assert_same(files(ingestion.out / "store"), files(pair[0].out / "store"))


def test_a_node_that_dies_costs_nothing_but_its_jobs(pair, ingestion, slurm):
    driver = ingestion.start("store")
    wait_until(lambda: ingestion.job("rule_ingest"), "a shard at work", 300)
    slurm.kill_node(NODES[0])
    try:
        finished = ingestion.finish(driver)  # on the other node, or after another call
    finally:
        slurm.start_node(NODES[0])
    if not finished:
        ingestion.run("store")
    assert_same(files(ingestion.out / "store"), files(pair[0].out / "store"))


@pytest.fixture(scope="module")
def undisturbed(pair, slurm, tmp_path_factory):
    """A workflow over the same scans, which lie beside it, that nothing happened to."""
    workflow = over_scans(pair, tmp_path_factory.mktemp("undisturbed") / "workflow", "local", slurm)
    workflow.run()
    return workflow


def over_scans(pair, folder, profile, slurm):
    workflow = Workflow(folder, profile, slurm, dicom="scans")
    (folder / "scans").symlink_to(pair[0].out / "dicom")
    return workflow


def kill_driver(workflow, driver, chance):
    """Snakemake alone; its jobs run on, beside those of the next one."""
    driver.kill()


def kill_worker(workflow, driver, chance):
    """One process of a job: the shell, the stage, one of its own processes, or the Snakemake around them."""
    running = [pid for node in NODES for pid in workflow.slurm.workers(node)]
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(sorted(running)), signal.SIGKILL)


def kill_node(workflow, driver, chance):
    """All of a node that has work, as far as there is one."""
    node = busy_node(workflow, chance)
    workflow.slurm.kill_node(node)
    workflow.slurm.start_node(node)


def kill_daemon(workflow, driver, chance):
    """A daemon alone; jobs run on, and it finds them again."""
    node = busy_node(workflow, chance)
    workflow.slurm.kill_daemon(node)
    workflow.slurm.start_node(node)


def busy_node(workflow, chance):
    busy = [node for node in NODES if workflow.slurm.workers(node)]
    return chance.choice(busy or NODES)


def driver_at_work(workflow, driver, chance):
    """A driver, the same or the next one, at a random moment at which jobs run; None once everything is done."""
    end = time.monotonic() + chance.uniform(0, LONGEST_WAIT_S)
    while time.monotonic() < end or not any(workflow.slurm.workers(node) for node in NODES):
        if driver is None or driver.poll() is not None:
            if driver is not None and driver.returncode == 0:
                return None
            driver = workflow.start("--nolock")
        time.sleep(0.05)
    return driver


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_killed_and_whenever_the_same_command_ends_with_the_same_bytes(
    pair, undisturbed, slurm, tmp_path, seed
):
    chance = random.Random(seed)
    workflow = over_scans(pair, tmp_path / "workflow", "slurm", slurm)
    driver, killed = None, []
    for kill in chance.sample([kill_driver, kill_worker, kill_node, kill_daemon], 3):
        driver = driver_at_work(workflow, driver, chance)
        if driver is None:
            break
        killed.append(f"{kill.__name__} during {workflow.rules_at_work()}")
        kill(workflow, driver, chance)
    if driver is not None:
        workflow.finish(driver, 1200)
    for job in slurm.jobs():  # what a driver that was killed has left in the queue
        slurm.wait(job, 600)
    workflow.run("--nolock")
    print(f"seed {seed}: {'; '.join(killed)}")
    assert killed
    assert_same(files(workflow.out), files(undisturbed.out))
