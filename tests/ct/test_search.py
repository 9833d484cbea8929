import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

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


def test_links_to_folders_of_patients_are_followed_once(tmp_path):
    write_ct(tmp_path / "archive" / "a", voxels(), seed="a")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "patient").symlink_to(tmp_path / "archive" / "a", target_is_directory=True)
    (tmp_path / "study" / "loop").symlink_to(tmp_path / "study", target_is_directory=True)
    (found,) = find_series(tmp_path / "study").values()
    assert len(found) == 12


def test_links_that_lead_nowhere_and_closed_folders_are_counted(tmp_path, caplog, monkeypatch):
    write_ct(tmp_path / "ct", voxels())
    for number in range(3):
        (tmp_path / f"patient-{number}").symlink_to(tmp_path / "unmounted" / str(number))
    (tmp_path / "ct" / "closed").mkdir(mode=0o000)
    listed = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: _closed(path) if str(path).endswith("closed") else listed(path))
    assert len(find_series(tmp_path)) == 1
    assert "3 link(s) lead nowhere" in caplog.text and "1 folder(s) cannot be read (Permission denied)" in caplog.text
    assert "patient-" not in caplog.text


def _closed(path):
    """As the system says it to anyone but root."""
    raise PermissionError(13, "Permission denied", path)


@pytest.mark.parametrize("meta", [True, False], ids=["with meta information", "bare"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=lambda uid: uid.keyword)
def test_files_without_a_preamble_are_read(tmp_path, syntax, meta):
    hu = voxels()
    for file in write_ct(tmp_path, hu):
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
        whole = file.read_bytes()
        length = int.from_bytes(whole[140:144], "little")  # of the meta information
        file.write_bytes(whole[132:] if meta else whole[144 + length :])
    np.testing.assert_array_equal(read_series(tmp_path).read(), hu)


def test_results_and_stores_inside_the_tree_are_not_read_as_input(tmp_path):
    hu = voxels()
    write_ct(tmp_path, hu)
    for name, mark in (("out", "predictions.json"), ("store", "layout.json")):
        write_ct(tmp_path / name / "ct", hu, seed=name)
        (tmp_path / name / mark).write_text("{}")
    assert len(find_series(tmp_path)) == 1


def test_a_defect_that_all_images_share_is_the_reason(tmp_path):
    write_ct(tmp_path, voxels(), attributes={"ImagePositionPatient": None})
    with pytest.raises(InputError, match=r"none of its 12 CT image\(s\) can be read.*ImagePositionPatient is absent"):
        find_series(tmp_path, {})


@pytest.mark.parametrize(
    ("sop_class", "words"),
    [
        ("1.2.840.10008.5.1.4.1.1.4", "12 MR Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.7", "12 Secondary Capture Image Storage"),
    ],
)
def test_dicom_objects_of_another_kind_are_named(tmp_path, sop_class, words):
    write_ct(tmp_path, voxels(), attributes={"SOPClassUID": sop_class})
    with pytest.raises(InputError, match=words):
        find_series(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ct.nii", bytes(344) + b"n+1\0" + bytes(8), "1 NIfTI volume"),
        ("ct.nii.gz", b"\x1f\x8b\x08", "1 gzip file"),
        ("ct.nrrd", b"NRRD0004\n", "1 NRRD volume"),
        ("ct.mhd", b"ObjectType = Image\n", "1 MetaImage"),
        ("ct.zip", b"PK\3\4", "1 zip archive"),
        ("notes.txt", b"a", "1 file that is no DICOM"),
    ],
)
def test_a_ct_in_another_form_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        find_series(tmp_path)
