"""The list of what was accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctxai.errors import InputError
from ctxai.pacs.sent_log import SentLog


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "series" / name for name in ("a.dcm", "b.dcm")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.name.encode())
    return paths


def test_only_what_was_not_accepted_is_missing(tmp_path: Path, files: list[Path]):
    ledger = SentLog(tmp_path, "PACS@h:1")
    assert ledger.missing(files) == files
    ledger.accepted(files[0])
    assert SentLog(tmp_path, "PACS@h:1").missing(files) == files[1:]


def test_a_changed_file_is_missing_again(tmp_path: Path, files: list[Path]):
    SentLog(tmp_path, "PACS@h:1").accepted(files[0])
    files[0].write_bytes(b"new")
    assert files[0] in SentLog(tmp_path, "PACS@h:1").missing(files)


def test_every_peer_has_its_own_list(tmp_path: Path, files: list[Path]):
    SentLog(tmp_path, "PACS@h:1").accepted(files[0])
    SentLog(tmp_path, "http://h/").accepted(files[1])
    assert SentLog(tmp_path, "PACS@h:1").missing(files) == files[1:]
    assert SentLog(tmp_path, "http://h/").missing(files) == files[:1]


def test_a_moved_folder_keeps_its_list(tmp_path: Path, files: list[Path]):
    (tmp_path / "old").mkdir()
    files[0].parent.rename(tmp_path / "old" / "series")
    SentLog(tmp_path / "old", "p").accepted(tmp_path / "old" / "series" / "a.dcm")
    (tmp_path / "old").rename(tmp_path / "new")
    assert SentLog(tmp_path / "new", "p").missing([tmp_path / "new" / "series" / "a.dcm"]) == []


@pytest.mark.parametrize("text", ["{", "[1]", '{"p": 3}'])
def test_a_damaged_list_says_what_to_do(tmp_path: Path, text: str):
    (tmp_path / "sent.json").write_text(text)
    with pytest.raises(InputError, match="remove it"):
        SentLog(tmp_path, "p")
