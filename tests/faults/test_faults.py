"""Every fault of the corpus, given to the real stage: the promise is kept, and nothing else happens."""

import csv
import hashlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ctxai.cli import main

from faults.corpus import CASES
from faults.inputs import SECRET, Inputs, make_inputs
from faults.promises import Case, Promise

TRIALS = [pytest.param(case, stage, id=f"{case.name}, {stage}") for case in CASES for stage in case.promises]
#: A process that took a bomb apart would need far more of either.
MEMORY_BYTES, CPU_SECONDS = 3 * 2**30, 600


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "inputs"
    make_inputs(folder)
    return folder


def tree(folder: Path) -> dict[str, tuple]:
    """What lies in a folder: kind, size and content of everything; a large file by its first and last bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = ("link", str(path.readlink()))
        elif path.is_file():
            with path.open("rb") as file:
                head = file.read(1 << 20)
            found[str(path)] = ("file", path.stat().st_size, hashlib.sha256(head).hexdigest())
        else:
            found[str(path)] = ("folder",)
    return found


def run_alone(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a stage in a process of its own; fails where it takes more memory than any small input needs."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * 2**30, 4 * 2**30))

    with (folder / "stderr").open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "ctxai", *command],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=limit,
            cwd=folder,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read()
    assert used.ru_maxrss * 1024 < MEMORY_BYTES, f"{used.ru_maxrss >> 10} MiB"
    return process.returncode, text


def reported(out: Path) -> list[dict[str, str]]:
    """Lines of the ingestion's report."""
    path = out / "report.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("case", "stage"), TRIALS)
def test_the_promise_is_kept(sound, tmp_path, monkeypatch, capsys, caplog, case: Case, stage: str):
    shutil.copytree(sound, tmp_path / "inputs")
    inputs = Inputs(tmp_path / "inputs")
    case.damage(inputs)
    scratch, work, out = tmp_path / "scratch", tmp_path / "work", tmp_path / "results" / "out"
    for folder in (scratch, work, out.parent):
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(work)
    before = tree(inputs.folder)
    command = inputs.command(stage, out)
    capsys.readouterr()
    if case.alone:
        code, errors = run_alone(command, tmp_path)
    else:
        code, errors = main(command), capsys.readouterr().err + caplog.text

    assert "Traceback" not in errors
    assert SECRET not in errors
    assert tree(inputs.folder) == before
    assert not list(scratch.iterdir())
    assert not list(work.iterdir())
    assert {path.name for path in out.parent.iterdir()} <= {"out"}
    assert not [path for path in out.rglob("*") if "partial" in path.name]

    promise, words = case.promises[stage]
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    report = reported(out)
    if promise is Promise.REFUSED and code == 0:  # ingestion refuses a series in its report
        assert stage == "ingest"
        assert [
            line for line in report if line["action"] == "refused" and words in line["name"] + ": " + line["detail"]
        ]
        return
    if promise is Promise.REFUSED:
        assert code == 2, errors
        assert len(lines) == 1
        assert lines[0].isprintable() and len(lines[0]) < 2100
        assert words in " ".join(errors.split())
        assert not (out / "predictions.csv").exists() and not (out / "config.yaml").exists()
        return
    assert code == 0, errors
    assert not lines
    if stage == "ingest":
        assert not [line for line in report if line["action"] == "refused"]
    if promise is Promise.READ:
        assert "left out" not in errors
    elif stage == "ingest":
        assert [line for line in report if words in line["name"] + ": " + line["detail"]]
    else:
        assert words in " ".join(errors.split())
    if stage == "explain":
        assert "<script>" not in "".join(path.read_text() for path in out.glob("*.csv"))
        assert "<script>alert" not in (out / "report.html").read_text()


def test_every_fault_has_a_name_of_its_own():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
