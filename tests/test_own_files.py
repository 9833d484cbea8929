"""Files that are written again and again: only what the record knows is replaced or removed."""

import json

import pytest

from ctxai import own_files as module
from ctxai.errors import InputError
from ctxai.own_files import OwnFiles, own_files

from folders import contents

RECORD = "written.json"


def write(folder, **texts):
    with own_files(folder, RECORD) as files:
        for name, text in texts.items():
            files.write(f"{name}.csv", text)


def test_a_file_that_was_written_is_replaced_and_one_that_is_gone_is_written_anew(tmp_path):
    write(tmp_path, a="1", b="1")
    (tmp_path / "b.csv").unlink()
    write(tmp_path, a="2", b="2")
    assert contents(tmp_path)["a.csv"] == contents(tmp_path)["b.csv"] == b"2"


@pytest.mark.parametrize("content", ["1, with a column of my own", ""])
def test_a_file_of_somebody_else_or_one_that_was_changed_is_named_and_stays(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=r"a\.csv: was not written by ctxai, or was changed since; move it away"):
        write(tmp_path, a="2")
    assert contents(tmp_path) == {"a.csv": content.encode()}
    (tmp_path / "a.csv").unlink()
    write(tmp_path, a="2")
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match="move it away"):
        write(tmp_path, a="3")
    with own_files(tmp_path, RECORD) as files:
        files.remove("a.csv")
    assert contents(tmp_path)["a.csv"] == content.encode()


def test_nothing_is_written_or_removed_through_a_link(tmp_path):
    mine, folder = tmp_path / "mine", tmp_path / "out"
    write(mine, a="1")
    folder.mkdir()
    (folder / "a.csv").symlink_to(mine / "a.csv")
    (folder / "sub").symlink_to(mine)
    before = contents(mine)
    with own_files(folder, RECORD) as files:
        for name in ("a.csv", "sub/a.csv", "sub/new.csv"):
            with pytest.raises(InputError, match="is a link"):
                files.write(name, "2")
            files.remove(name)
    (folder / RECORD).unlink()
    (folder / RECORD).symlink_to(mine / RECORD)
    with pytest.raises(InputError, match="is a link"):
        OwnFiles(folder, RECORD)
    assert contents(mine) == before


@pytest.mark.parametrize("moment", [0, 1, 2, 3])
def test_a_kill_at_any_moment_leaves_nothing_that_the_same_command_refuses(tmp_path, monkeypatch, moment):
    calls = iter(range(100))

    def killed(original):
        def write(*arguments):
            if next(calls) == moment:
                raise KeyboardInterrupt
            return original(*arguments)

        return write

    interrupted, whole = tmp_path / "interrupted", tmp_path / "whole"
    for folder in (interrupted, whole):
        write(folder, a="1", b="1")
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_text", killed(module.write_text))
        patch.setattr(module, "write_json", killed(module.write_json))
        with pytest.raises(KeyboardInterrupt):
            write(interrupted, a="2", b="2")
    for folder in (interrupted, whole):
        write(folder, a="3", b="3")
    assert contents(interrupted) == contents(whole)


@pytest.mark.parametrize("content", ["{", "[]", '{"a.csv": []}', '{"sha256": {"a.csv": 3}}', "\xff"])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / RECORD).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"written\.json: damaged"):
        OwnFiles(tmp_path, RECORD)


def test_files_that_are_gone_leave_the_record(tmp_path):
    write(tmp_path, a="1", b="1")
    (tmp_path / "a.csv").unlink()
    write(tmp_path, b="2")
    assert list(json.loads((tmp_path / RECORD).read_text())["sha256"]) == ["b.csv"]
