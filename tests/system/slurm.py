"""A real SLURM of two nodes on this machine for the system tests, on free ports of loopback, gone with all it holds.

    def test_something(slurm):            # fixture of conftest.py: one for all tests
        job = slurm.submit("--nodes=2", "job.sh")
        slurm.wait(job)

Its configuration lies in a temporary folder and is named by ``SLURM_CONF``, so a SLURM that is installed here stays out
of it. Munge too is one of its own. It runs as the user that the tests run as.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ctxai.viewer.orthanc import HOST, free_port

from system.requirements import require

NODES = ("n1", "n2")
_PROGRAMS = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "srun": "slurm-client"}
_DAEMON_PATH = "/usr/sbin:/usr/local/sbin"
_FINISHED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"}

# No accounting, no cgroups, no systemd. `NoInAddrAny` keeps the daemons off every interface but loopback;
# `config_overrides` lets two nodes claim processors that this machine has once; `cred_expire` is how long a job that
# goes back into the queue has to wait there; a job is remembered for `MinJobAge`.
_CONFIGURATION = """\
ClusterName=ctxai
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=2
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
MinJobAge=3600
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/%n.pid
SlurmctldPidFile={folder}/slurmctld.pid
"""
_NODE = "NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} CPUs=4 RealMemory=64000\n"
_PARTITION = "PartitionName=main Nodes=ALL Default=YES State=UP\n"


def wait_until(true: Callable[[], Any], what: str, seconds: float = 60.0, every: float = 0.05) -> Any:
    """What ``true`` returns as soon as it is something; fails the test after ``seconds``."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(every)
    return found


def processes_with(**variables: str) -> list[int]:
    """Ids of this machine's processes that were started with all of these environment variables."""
    wanted = {f"{name}={value}".encode() for name, value in variables.items()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return found


def _name_of(process: int) -> str:
    """Name of a process's program; empty when it has ended."""
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def kill_all(find: Callable[[], list[int]]) -> None:
    """SIGKILL to the processes that ``find`` names, until there are none."""

    def none_left() -> bool:
        found = find()
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return not found

    wait_until(none_left, "processes that were killed")


class Slurm:
    """A running SLURM, its queue empty at first; a context manager."""

    def __init__(self) -> None:
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def configuration(self) -> Path:
        """The cluster's slurm.conf."""
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """Of commands that talk to this cluster; trainings in its jobs find each other on loopback."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        loopback = {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": HOST}
        return os.environ | {"SLURM_CONF": str(self.configuration), "PATH": path} | loopback

    def __enter__(self) -> Self:
        for program, package in _PROGRAMS.items():
            found = shutil.which(program, path=f"{os.environ['PATH']}:{_DAEMON_PATH}")
            require(found is not None, f"SLURM's {program}", f"the Debian package {package}")
        self.folder = Path(tempfile.mkdtemp(prefix="ctxai-slurm-"))
        try:
            self._configure()
            munge = {"key-file": "key", "socket": "munge.socket", "pid-file": "munged.pid", "seed-file": "seed"}
            options = [f"--{option}={self.folder / name}" for option, name in munge.items()]
            self._start("munged", "munged", "--foreground", *options, f"--log-file={self.folder / 'munged.log'}")
            wait_until((self.folder / "munge.socket").exists, "munged")
            self._start("slurmctld", "slurmctld", "-D")
            wait_until(
                lambda: subprocess.run(["scontrol", "ping"], env=self.environment, capture_output=True).returncode == 0,
                "slurmctld",
            )
            for node in NODES:
                self.start_node(node)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in reversed(self._daemons.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(15)
            daemon.kill()
            daemon.wait()
        for node in NODES:
            kill_all(lambda node=node: self.processes_of(node))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self) -> None:
        self.folder.chmod(0o755)  # munge refuses a socket that others cannot reach
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        (self.folder / "bin").mkdir()
        srun = self.folder / "bin" / "srun"  # Snakemake's jobs take SLURM_CONF, and all of that name, from srun
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        (self.folder / "key").touch(mode=0o600)
        (self.folder / "key").write_bytes(secrets.token_bytes(128))
        place = {"host": socket.gethostname(), "address": HOST}
        text = _CONFIGURATION.format(port=free_port(), user=getpass.getuser(), folder=self.folder, **place)
        nodes = [_NODE.format(name=name, port=free_port(), **place) for name in NODES]
        self.configuration.write_text("".join([text, *nodes, _PARTITION]))

    def _start(self, name: str, *command: str, **variables: str) -> None:
        environment = self.environment | variables
        environment["PATH"] += f":{_DAEMON_PATH}"
        with (self.folder / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def start_node(self, node: str) -> None:
        """Start a node's daemon, and wait until SLURM knows of it."""
        self._start(node, "slurmd", "-D", "-N", node, SLURMD_NODENAME=node)
        state = ("sinfo", "--noheader", f"--nodes={node}", "--format=%t")
        wait_until(lambda: self.run(*state).strip() in {"idle", "mix", "alloc"}, f"node {node}")

    def kill_daemon(self, node: str) -> None:
        """Kill a node's daemon alone; the jobs on it run on."""
        self._daemons[node].kill()
        self._daemons[node].wait()

    def kill_node(self, node: str) -> None:
        """Kill a node's daemon and all that runs there, as a power cut would, and mark it as down.

        SLURM alone finds that out after `SlurmdTimeout`; either way it puts the jobs of the node back into the queue.
        """
        self.kill_daemon(node)
        kill_all(lambda: self.processes_of(node))
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=killed")

    def processes_of(self, node: str, **variables: str) -> list[int]:
        """Ids of the processes of jobs and steps on a node."""
        return processes_with(SLURM_CONF=str(self.configuration), SLURMD_NODENAME=node, **variables)

    def workers(self, node: str) -> list[int]:
        """Ids of the processes of jobs on a node, without SLURM's own."""
        own = {daemon.pid for daemon in self._daemons.values()}
        found = [pid for pid in self.processes_of(node) if pid not in own]
        return [pid for pid in found if not _name_of(pid).startswith("slurm")]

    def run(self, *command: Any, environment: Mapping[str, str] | None = None) -> str:
        """What a command of SLURM prints."""
        words = [str(word) for word in command]
        variables = self.environment | dict(environment or {})
        done = subprocess.run(words, env=variables, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def submit(self, *arguments: Any, environment: Mapping[str, str] | None = None) -> str:
        """Give ``sbatch`` a job; its id."""
        return self.run("sbatch", "--parsable", *arguments, environment=environment).strip()

    def jobs(self) -> dict[str, str]:
        """State of every job that is in the queue or was, by its id."""
        lines = self.run("squeue", "--noheader", "--states=all", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def wait(self, job: str, seconds: float = 120.0) -> str:
        """The state in which a job ends."""
        return wait_until(lambda: (state := self.jobs()[job]) in _FINISHED and state, f"job {job}", seconds, 0.2)
