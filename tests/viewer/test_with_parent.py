"""A program that ends when its parent is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ctxai.viewer.orthanc import ends_with_us

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")

_PARENT = """
import subprocess, sys, time
from ctxai.viewer.orthanc import ends_with_us
child = subprocess.Popen([*ends_with_us(), "/bin/sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_it_is_the_program_that_was_asked_for():
    done = subprocess.run([*ends_with_us(), "/bin/echo", "a", "b c"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a b c\n", "")


def test_it_ends_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = Path("/proc") / parent.stdout.readline().strip()
        until(lambda: (child / "cmdline").read_bytes() == b"/bin/sleep\x00600\x00")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not child.exists() or "\nState:\tZ" in (child / "status").read_text())


def test_it_does_not_begin_when_its_parent_has_gone():
    *command, _ = ends_with_us()
    done = subprocess.run([*command, "1", "/bin/echo", "a"], capture_output=True, text=True)
    assert done.stdout == ""


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
