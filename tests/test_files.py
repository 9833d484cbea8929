import errno
import os

import pytest

from ctxai.errors import InputError
from ctxai.files import atomic_folder, atomic_path, write_json, write_text


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "a" / "map.nii.gz"
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.suffixes[-2:] == [".nii", ".gz"]
    assert target.read_text() == "half"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "table.csv"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("new, but")
        raise RuntimeError
    assert target.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "run"
    for content in ("first", "second"):
        with atomic_folder(target) as temporary:
            (temporary / f"{content}.txt").write_text(content)
    assert [path.name for path in target.iterdir()] == ["second.txt"]
    with pytest.raises(ValueError, match="stop"), atomic_folder(target) as temporary:
        raise ValueError("stop")
    assert [path.name for path in target.iterdir()] == ["second.txt"]
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "no space left"), (errno.EROFS, "cannot be read or written")]
)
def test_a_disk_that_refuses_gives_one_clear_line(tmp_path, number, words):
    with pytest.raises(InputError, match=words) as raised, atomic_path(tmp_path / "x.bin") as temporary:
        temporary.write_bytes(b"half")
        raise OSError(number, os.strerror(number))
    assert "\n" not in str(raised.value)
    assert names(tmp_path) == []


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"auc": float("nan")})
    assert names(tmp_path) == []
