"""A disk that is really full: a small tmpfs."""

import os
import subprocess

import numpy as np
import pytest

from ctxai.cli import main

from runs import untrained_run
from synthetic_ct import ct_grid, write_ct

pytestmark = pytest.mark.system


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("stage", ["explain", "ingest", "phantom", "manifest"])
def test_a_full_disk_gives_one_line_and_leaves_nothing_half_written(small_disk, tmp_path, capsys, stage):
    out = small_disk / "out"
    ballast = small_disk / "ballast"
    grid = ct_grid((24, 128, 128), (1.0, 1.0, 1.0))
    if stage == "explain":
        write_ct(tmp_path / "ct", np.random.default_rng(0).integers(-1000, 400, grid.shape).astype(np.int16), grid)
        untrained_run().save(tmp_path / "run")
        points = tmp_path / "points.csv"
        points.write_text("x,y,z\n{},{},{}\n".format(*grid.centre))
        command = ["explain", tmp_path / "ct", out, "--run", tmp_path / "run", "--points", points, "--no-trust"]
        command += ["--formats", "nifti,pmap,seg,fractional,sr,sc,pdf,readers"]
        ballast.write_bytes(bytes(1_800_000))
    elif stage == "ingest":
        assert main(["phantom", str(tmp_path / "dicom"), "--patients", "LIDC-IDRI-0001", "--margin_mm", "4"]) == 0
        ballast.write_bytes(bytes(1_900_000))
        command = ["ingest", tmp_path / "dicom", out]
    elif stage == "phantom":
        command = ["phantom", out, "--patients", "LIDC-IDRI-0001", "--margin_mm", "4"]
    else:
        ballast.write_bytes(bytes(1_000_000))
        command = ["manifest", out]
    assert main([str(part) for part in command]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: ")
    assert "no space left" in error[-1]
    assert not [path for path in small_disk.rglob("*") if "partial" in path.name]
    assert not (out / "predictions.csv").exists()
    assert not (out / "nodules.parquet").exists()
    assert stage != "manifest" or not [path for path in out.rglob("*") if path.is_file()]

    ballast.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    assert main([str(part) for part in command]) == 0  # the same command, now that there is space


def test_files_that_were_there_survive_a_full_disk(small_disk):
    target = small_disk / "out"
    assert main(["manifest", str(target)]) == 0
    small = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert len(small) == 5
    assert main(["manifest", str(target)]) == 2
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == small


def test_a_read_only_folder_gives_one_line(small_disk, capsys):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert main(["manifest", str(small_disk / "out")]) == 2
    assert "cannot be read or written" in capsys.readouterr().err.splitlines()[-1]
