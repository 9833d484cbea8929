"""``ctxai fetch-study`` from a real application entity on loopback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_peer import Archive, dicom_peer
from pydicom import dcmread

from ctxai.cli import main
from ctxai.ct.series import read_series
from ctxai.pacs.dimse import DimsePeer

from synthetic_ct import write_ct


def fill(archive: Archive, folder: Path) -> str:
    """Two CT series of one study; returns its UID."""
    files = []
    for seed in ("one", "two"):
        files += write_ct(folder / seed, np.full((4, 8, 8), len(files), np.int16), seed=seed)
    list(DimsePeer("PACS", "127.0.0.1", archive.port).store(files))
    return str(dcmread(files[0]).StudyInstanceUID)


def test_every_ct_series_becomes_a_folder_that_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture):
    with dicom_peer() as archive:
        study = fill(archive, tmp_path / "source")
        out = tmp_path / "fetched"
        command = ["fetch-study", study, str(out), "--dimse", f"PACS@127.0.0.1:{archive.port}"]
        assert main(command) == 0
        assert f"next: ctxai explain {out}" in capsys.readouterr().out.replace("\n", "")
        folders = sorted(out.iterdir())
        assert [int(read_series(folder).read().mean()) for folder in folders] in ([0, 4], [4, 0])
        assert [folder.name for folder in folders] == sorted(read_series(folder).key for folder in folders)

        kept = {path: path.stat().st_mtime_ns for path in out.glob("*/*.dcm")}
        next(iter(kept)).unlink()
        assert main(command) == 0
        again = {path: path.stat().st_mtime_ns for path in out.glob("*/*.dcm")}
        assert again.keys() == kept.keys()
        assert sum(again[path] != kept[path] for path in kept) == 1


def test_what_is_no_uid_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["fetch-study", "../../etc", str(tmp_path), "--dimse", "PACS@127.0.0.1:1"]) == 2
    assert "expected a Study Instance UID" in capsys.readouterr().err


def test_an_unknown_study_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    with dicom_peer() as archive:
        command = ["fetch-study", "1.2.3", str(tmp_path / "out"), "--dimse", f"PACS@127.0.0.1:{archive.port}"]
        assert main(command) == 2
    assert "no CT series of study 1.2.3" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
