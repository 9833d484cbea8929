import subprocess
import sys

import pytest

from ctxai.cli import main
from ctxai.errors import InputError
from ctxai.output_folder import locked

pytest.importorskip("fcntl", reason="there is no such lock here")
HOLD = """
import sys
from pathlib import Path
from ctxai.output_folder import locked
with locked(Path(sys.argv[1]), "explain", *sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Hold folders in processes of their own."""
    processes = []

    def start(folder, *part):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), *part], **pipes)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_second_writer_is_refused_and_the_owner_named(hold, tmp_path, capsys):
    owner = hold(tmp_path / "out")
    assert main(["manifest", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"`ctxai explain` (process {owner.pid} on " in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", ["out", "../{name}/out", "link/out"])
def test_a_folder_is_one_by_whatever_path(hold, tmp_path, given):
    (tmp_path / "link").symlink_to(tmp_path)
    hold(tmp_path / "out")
    with (
        pytest.raises(InputError, match="is writing into it"),
        locked(tmp_path / given.format(name=tmp_path.name), "x"),
    ):
        pass


def test_shards_are_written_at_once_each_by_one_process_and_not_beside_a_whole(hold, tmp_path):
    owner = hold(tmp_path / "out", "0/2")
    with locked(tmp_path / "out", "explain", "1/2"):
        pass
    for part in ("0/2", ""):
        with pytest.raises(InputError, match=f"process {owner.pid}"), locked(tmp_path / "out", "explain", part):
            pass


def test_the_lock_of_a_killed_process_holds_nobody_up(hold, tmp_path):
    owner = hold(tmp_path / "out")
    owner.kill()
    owner.wait()
    with locked(tmp_path / "out", "explain"):
        assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_made_for_the_lock_alone_go_with_it(tmp_path):
    with locked(tmp_path / "a" / "b" / "out", "explain"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_several_processes_of_a_training_only_the_first_asks_for_the_folder(hold, tmp_path, monkeypatch, capsys):
    hold(tmp_path / "run")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["train", str(tmp_path / "store"), str(tmp_path / "run")]) == 2
    assert "not a nodule store" in capsys.readouterr().err
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert main(["train", str(tmp_path / "store"), str(tmp_path / "run")]) == 2
    assert "is writing into it" in capsys.readouterr().err
