import pytest

from ctxai.commands.phantom import phantom
from ctxai.errors import InputError
from ctxai.lidc.database import LidcDatabase
from ctxai.phantom import series_folder

PATIENT = "LIDC-IDRI-0015"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("tree") / "dicom"
    phantom(out, patients=[PATIENT], margin_mm=0)
    return out


@pytest.fixture(scope="module")
def folder(tree):
    return series_folder(next(s for s in LidcDatabase().scans if s.patient_id == PATIENT), tree)


def test_the_tree_is_laid_out_as_lidc_idri_is(tree, folder):
    assert folder.parent.parent == tree / PATIENT
    assert sorted(tree.rglob("*.dcm")) == sorted(folder.glob("*.dcm")) != []
    assert not list(tree.rglob(".*"))


def test_a_rerun_keeps_what_is_there_and_resume_false_makes_the_same_again(tree, folder):
    file = next(folder.iterdir())
    before, written = file.read_bytes(), file.stat().st_mtime_ns
    phantom(tree, patients=[PATIENT], margin_mm=0)
    assert file.stat().st_mtime_ns == written
    phantom(tree, patients=[PATIENT], margin_mm=0, resume=False)
    assert file.stat().st_mtime_ns != written
    assert file.read_bytes() == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"margin_mm": 5.0}, {"planted": "texture"}])
def test_two_kinds_of_phantom_are_not_mixed(tree, change):
    with pytest.raises(InputError, match="another kind of phantom"):
        phantom(tree, patients=[PATIENT], **({"margin_mm": 0} | change))


def test_unknown_patients_are_named(tmp_path):
    with pytest.raises(InputError, match="LIDC-IDRI-0238"):
        phantom(tmp_path, patients=[PATIENT, "LIDC-IDRI-0238"])
    assert not list(tmp_path.iterdir())
