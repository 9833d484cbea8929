"""Generations of a series' results: whole, recorded, and beside files that are a person's own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ctxai import generations
from ctxai.errors import InputError
from ctxai.files import write_text
from ctxai.generations import dicom_objects, new_generation, read_record, series_folders, settle, withdraw

from folders import contents

KEY = "0123456789ab"


def write(out: Path, files: dict[str, str], digest: str = "d") -> Path:
    """A generation of text files."""
    with new_generation(out / KEY, digest, None, []) as generation:
        generation.rows = [{"series": KEY, "nodule_id": digest}]
        for name, text in files.items():
            write_text(generation.folder / name, text)
    return out / KEY


def texts(folder: Path) -> dict[str, str]:
    """What lies in a folder, without the record."""
    return {name: data.decode() for name, data in contents(folder).items() if name != "explained.json"}


OLD = {"maps/a.nii.gz": "old a", "maps/b.nii.gz": "old b", "dicom/seg/a.dcm": "old seg"}
NEW = {"maps/a.nii.gz": "new a", "dicom/pmap/a.dcm": "new pmap"}


def test_a_new_generation_takes_the_place_of_the_old_one_and_leaves_the_persons_own_files(tmp_path):
    folder = write(tmp_path, OLD, "old")
    own = {"ct.mrb": "scene", "maps/my_segmentation.seg.nrrd": "mine", "dicom/seg/mine.dcm": "mine"}
    for name, text in own.items():
        (folder / name).write_text(text)
    write(tmp_path, NEW, "new")
    assert texts(folder) == NEW | own
    assert read_record(folder).rows[0]["nodule_id"] == "new"
    assert [path.name for path in dicom_objects(tmp_path)] == ["a.dcm"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEY]


def test_folders_that_are_empty_afterwards_go(tmp_path):
    folder = write(tmp_path, OLD)
    write(tmp_path, {"maps/a.nii.gz": "new"})
    assert sorted(path.name for path in folder.iterdir()) == ["explained.json", "maps"]


@pytest.mark.parametrize("name", ["maps/a.nii.gz", "dicom/pmap/a.dcm"])
def test_a_file_that_is_not_ours_any_more_is_in_the_way_and_all_stays_as_it_was(tmp_path, name):
    folder = write(tmp_path, OLD)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("edited by hand")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="move it away"):
        write(tmp_path, NEW)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("link", ["", "maps", "maps/a.nii.gz", "dicom/seg"])
def test_nothing_is_written_or_removed_through_a_link(tmp_path, link):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    folder = write(out, OLD)
    (folder / link).rename(elsewhere)
    (folder / link).symlink_to(elsewhere)
    before = contents(tmp_path)
    for change in (lambda: write(out, NEW), lambda: withdraw(out / KEY)):
        with pytest.raises(InputError, match="is a link"):
            change()
    assert contents(tmp_path) == before


def test_an_error_while_writing_leaves_what_was_there(tmp_path):
    write(tmp_path, OLD)
    before = contents(tmp_path)
    with (
        pytest.raises(InputError, match="no space left"),
        new_generation(tmp_path / KEY, "new", None, []) as generation,
    ):
        write_text(generation.folder / "maps/a.nii.gz", "half")
        raise OSError(28, "No space left on device")
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEY]


def test_wherever_a_kill_comes_readers_see_one_whole_generation(tmp_path):
    """The process ends at its n-th change of the disk, for every n; then a reader looks."""
    code = """
import os, sys
from pathlib import Path
from ctxai import generations
from tests_of_generations import NEW, write
left = int(sys.argv[2])
def ending(name, real):
    def change(self, *arguments, **options):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return real(self, *arguments, **options)
    return change
for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
    setattr(Path, name, ending(name, getattr(Path, name)))
write(Path(sys.argv[1]), NEW, "new")
"""
    shutil.copy(__file__, tmp_path / "tests_of_generations.py")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    seen = set()
    for step in range(100):
        out = tmp_path / str(step)
        write(out, OLD, "old")
        command = [sys.executable, "-c", code, str(out), str(step)]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, timeout=60)
        (folder,) = series_folders(out)
        record = read_record(folder)
        seen.add(record.digest)
        named = {name: (folder / name).read_text() for name in record.files}  # beside what was written aside
        assert named == (NEW if record.digest == "new" else OLD)
        assert all(path.is_file() for path in dicom_objects(out))
        write(out, NEW, "new")
        assert texts(folder) == NEW
        assert [one.name for one in out.iterdir()] == [KEY]
        if done.returncode == 0:
            break
    assert seen == {"old", "new"}
    assert step > len(NEW)


def test_results_that_are_withdrawn_go_and_the_persons_own_files_stay(tmp_path):
    folder = write(tmp_path, OLD)
    (folder / "maps" / "mine.txt").write_text("mine")
    withdraw(folder)
    withdraw(folder)
    assert texts(tmp_path) == {f"{KEY}/maps/mine.txt": "mine"}
    assert series_folders(tmp_path) == []


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "", "a/../b", "a//b", ".", "a/.next/b", "a\\b\n"])
def test_a_record_that_names_a_file_outside_is_refused(tmp_path, name):
    folder = write(tmp_path, OLD)
    record = json.loads((folder / "explained.json").read_text())
    for part in ("files", "replaced"):
        (folder / "explained.json").write_text(json.dumps(record | {part: {name: "0" * 64}}))
        for use in (settle, dicom_objects, withdraw):
            with pytest.raises(InputError, match="not the record of a series"):
                use(folder)
    assert texts(folder) == OLD


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"files": 1, "digest": "", "nodules": []}', "[" * 10_000])
def test_a_damaged_record_is_refused(tmp_path, content):
    folder = write(tmp_path, OLD)
    (folder / "explained.json").write_text(content)
    with pytest.raises(InputError, match=r"explained\.json: "):
        series_folders(tmp_path)


def test_an_object_that_was_changed_or_is_gone_is_not_handed_out(tmp_path):
    folder = write(tmp_path, OLD)
    (folder / "dicom/seg/a.dcm").write_text("changed")
    with pytest.raises(InputError, match="is not what `ctxai explain` wrote"):
        dicom_objects(tmp_path)
    (folder / "dicom/seg/a.dcm").unlink()
    with pytest.raises(InputError, match="is gone"):
        dicom_objects(tmp_path)


def test_a_series_that_another_process_writes_is_not_written_at_once(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as other:
        (tmp_path / f".{other.pid}.abcdef.partial.{KEY}").mkdir()
        with pytest.raises(InputError, match=f"is being written by process {other.pid}"):
            write(tmp_path, NEW)
        other.stdin.close()
    write(tmp_path, NEW)
    assert [one.name for one in tmp_path.iterdir()] == [KEY]


def test_the_name_of_a_generation_that_waits_cannot_be_a_files():
    assert not generations._PART.fullmatch(generations._NEXT)
