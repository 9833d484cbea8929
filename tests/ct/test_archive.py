import tarfile
import zipfile

import pytest

from ctxai.ct import archive
from ctxai.ct.archive import unpacked
from ctxai.errors import InputError


def test_a_folder_is_given_as_it_is(tmp_path):
    with unpacked(tmp_path) as folder:
        assert folder == tmp_path


def test_members_are_unpacked_under_numbers_and_removed_afterwards(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../evil.dcm", b"1")
        file.writestr("/etc/evil", b"22")
    with unpacked(path) as folder:
        assert sorted(p.name for p in folder.rglob("*")) == ["000000.dcm", "000001.dcm"]
        assert [p.read_bytes() for p in sorted(folder.iterdir())] == [b"1", b"22"]
    assert not folder.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_zip_that_claims_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(5_000_000))
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000_000)
    with pytest.raises(InputError, match="claims"), unpacked(path):
        pass


def test_a_damaged_zip_is_refused_in_one_line(tmp_path):
    path = tmp_path / "cut.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", b"x" * 1000)
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be unpacked"), unpacked(path):
        pass


def test_no_name_inside_a_zip_is_told(tmp_path):
    path = tmp_path / "cut.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("DOE_JANE.dcm", b"x" * 1000)
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF  # its checksum is wrong now
    path.write_bytes(data)
    with pytest.raises(InputError) as refused, unpacked(path):
        pass
    assert "DOE" not in str(refused.value)


@pytest.mark.parametrize("name", ["ct.tar", "ct.tar.gz", "ct.tgz", "ct.tar.xz"])
def test_a_tar_gives_its_files_and_no_links(tmp_path, name):
    (tmp_path / "a").write_bytes(b"image")
    (tmp_path / "link").symlink_to("/etc/hostname")
    kinds = {"ct.tar": "w", "ct.tar.gz": "w:gz", "ct.tgz": "w:gz", "ct.tar.xz": "w:xz"}
    with tarfile.open(tmp_path / name, kinds[name]) as archive:
        archive.add(tmp_path / "a", "../../escaped")
        archive.add(tmp_path / "link", "link")
    with unpacked(tmp_path / name) as folder:
        assert [file.read_bytes() for file in folder.iterdir()] == [b"image"]
    assert not (tmp_path.parent / "escaped").exists()


def test_a_damaged_tar_is_refused(tmp_path):
    with tarfile.open(tmp_path / "ct.tar.gz", "w:gz") as archive:
        (tmp_path / "a").write_bytes(bytes(range(256)) * 4000)
        archive.add(tmp_path / "a", "a")
    whole = (tmp_path / "ct.tar.gz").read_bytes()
    (tmp_path / "ct.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be unpacked"), unpacked(tmp_path / "ct.tar.gz"):
        pass
