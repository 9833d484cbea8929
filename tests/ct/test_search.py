from pathlib import Path

import numpy as np
import pytest

from ctxai.ct.search import find_series
from ctxai.ct.series import CTSeries, read_series
from ctxai.errors import InputError

from synthetic_ct import ct_grid, write_ct


def voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(-1024, 2000, ct_grid().shape).astype(np.int16)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def test_two_series_in_one_folder_are_told_apart(tmp_path):
    first, second = voxels(), voxels()[::-1].copy()
    write_ct(tmp_path / "a", first, seed="a")
    write_ct(tmp_path / "b", second, seed="b")
    found = find_series(tmp_path)
    assert sorted(len(headers) for headers in found.values()) == [12, 12]
    with pytest.raises(InputError, match="2 CT series"):
        read_series(tmp_path)
    assert {CTSeries(headers).read().tobytes() for headers in found.values()} == {first.tobytes(), second.tobytes()}


def test_a_damaged_image_can_be_noted_instead_of_ending_the_search(tmp_path):
    cut_short(write_ct(tmp_path, voxels())[5])
    damaged: dict[Path, str] = {}
    found = find_series(tmp_path, damaged)
    assert [path.name for path in damaged] == ["006.dcm"]
    assert [len(headers) for headers in found.values()] == [11]


def test_several_processes_find_what_one_finds(tmp_path, monkeypatch):
    write_ct(tmp_path / "a", voxels(), seed="a")
    cut_short(write_ct(tmp_path / "b", voxels(), seed="b")[5])
    monkeypatch.setattr("ctxai.ct.search._FILES_PER_JOB", 5)
    alone: dict[Path, str] = {}
    together: dict[Path, str] = {}
    one, several = find_series(tmp_path, alone), find_series(tmp_path, together, workers=2)
    assert alone == together and len(alone) == 1
    assert list(one) == list(several)
    assert all([h.path for h in one[uid]] == [h.path for h in several[uid]] for uid in one)


def test_one_file_can_be_given_and_is_named_in_messages(tmp_path):
    files = write_ct(tmp_path, voxels())
    (found,) = find_series(files[3]).values()
    assert [header.path for header in found] == [files[3]]
    cut_short(files[3])
    with pytest.raises(InputError, match=r"004\.dcm: cut short"):
        find_series(files[3])
