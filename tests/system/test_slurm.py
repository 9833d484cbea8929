"""SLURM as the tests start it."""

import contextlib
from pathlib import Path

import pytest

from system.slurm import NODES, Slurm, wait_until

pytestmark = pytest.mark.system


def test_it_has_two_nodes_and_runs_a_job_on_both(slurm):
    said = slurm.run("srun", "--nodes=2", "--ntasks-per-node=1", "printenv", "SLURMD_NODENAME")
    assert sorted(said.split()) == list(NODES)


def test_it_listens_on_loopback_alone(slurm):
    sockets = set()
    for daemon in slurm._daemons.values():
        for descriptor in Path(f"/proc/{daemon.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                sockets.add(descriptor.readlink().name)
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            address, state, inode = fields[1].split(":")[0], fields[3], fields[9]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                listening.add(address)
    assert listening == {"0100007F"}  # 127.0.0.1, its bytes the other way round


def test_a_job_of_a_node_that_dies_goes_back_into_the_queue_and_ends(slurm, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\ntest -e {tmp_path}/again || {{ touch {tmp_path}/again; sleep 600; }}\n")
    job = slurm.submit("--requeue", "--nodelist=n2", "--output=/dev/null", script)
    wait_until((tmp_path / "again").exists, "the job's start")
    slurm.kill_node("n2")
    assert slurm.processes_of("n2") == []
    slurm.start_node("n2")
    assert slurm.wait(job) == "COMPLETED"


def test_nothing_is_left_of_it(slurm):
    folder = slurm.folder
    with Slurm() as other:  # two at the same time do not meet
        assert other.folder != folder
        other.submit("--output=/dev/null", "--wrap", "sleep 600")
        wait_until(lambda: other.processes_of("n1"), "the job")
    assert not other.folder.exists()
    assert other.processes_of("n1") == []
    assert all(daemon.poll() is not None for daemon in other._daemons.values())
    assert slurm.run("sinfo", "--noheader", "--format=%D") == "2\n"
