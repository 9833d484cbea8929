from pathlib import Path

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


def test_the_tree_is_laid_out_as_lidc_idri_is_but_for_the_name_of_the_series(tree, folder):
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


def digest_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("spelling", ["absolute", "relative", "slash", "detour", "link", "parent"])
@pytest.mark.parametrize("resume", [True, False])
def test_a_real_tree_is_refused_and_stays_as_it_is(tmp_path_factory, monkeypatch, resume, spelling):
    tmp_path = tmp_path_factory.mktemp("trees") / "real"
    scan = next(s for s in LidcDatabase().scans if s.patient_id == PATIENT)
    real = tmp_path / PATIENT / scan.study_uid / scan.series_uid
    real.mkdir(parents=True)
    (real / "1-001.dcm").write_bytes(b"a patient's image")
    (tmp_path.parent / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = digest_of(tmp_path.parent)
    spelled = {
        "relative": ".",
        "slash": f"{tmp_path}/",
        "detour": f"../{tmp_path.name}/{PATIENT}/..",
        "link": "../link",
    }
    spelled |= {"absolute": str(tmp_path), "parent": ".."}
    with pytest.raises(InputError, match="is there and is not a tree of drawn CTs"):
        phantom(Path(spelled[spelling]), patients=[PATIENT], margin_mm=0, resume=resume)
    assert digest_of(tmp_path.parent) == before


@pytest.mark.parametrize("resume", [True, False])
def test_nothing_is_drawn_into_a_real_tree_through_a_link(tmp_path, resume):
    real, tree = tmp_path / "real", tmp_path / "tree"
    for folder in (real / PATIENT, tree):
        folder.mkdir(parents=True)
    (tree / PATIENT).symlink_to(real / PATIENT)
    with pytest.raises(InputError, match="not a tree of drawn CTs"):
        phantom(tree, patients=[PATIENT], margin_mm=0, resume=resume)
    (tree / PATIENT).unlink()
    phantom(tree, patients=["LIDC-IDRI-0018"], margin_mm=0)
    (tree / PATIENT).symlink_to(real / PATIENT)
    with pytest.raises(InputError, match="is a link"):
        phantom(tree, patients=[PATIENT], margin_mm=0, resume=resume)
    assert not list((real / PATIENT).iterdir())


def test_beside_a_real_series_in_its_own_tree_only_drawn_slices_are_made_again(tmp_path):
    phantom(tmp_path, patients=[PATIENT], margin_mm=0)
    scan = next(s for s in LidcDatabase().scans if s.patient_id == PATIENT)
    real = tmp_path / PATIENT / scan.study_uid / scan.series_uid / "1-001.dcm"
    real.parent.mkdir()
    real.write_bytes(b"a patient's image")
    phantom(tmp_path, patients=[PATIENT], margin_mm=0, resume=False)
    assert real.read_bytes() == b"a patient's image"


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_a_user_put_among_drawn_slices_is_named_and_nothing_removed(tmp_path, kind):
    tree = tmp_path / "tree"
    phantom(tree, patients=[PATIENT], margin_mm=0)
    folder = series_folder(next(s for s in LidcDatabase().scans if s.patient_id == PATIENT), tree)
    own = folder / "notes.txt"
    if kind == "file":
        own.write_text("mine")
    elif kind == "link":
        (tmp_path / "elsewhere.dcm").write_bytes(next(folder.iterdir()).read_bytes())
        own.symlink_to(tmp_path / "elsewhere.dcm")
    else:
        own.mkdir()
    before = digest_of(tmp_path)
    with pytest.raises(InputError, match=r"notes\.txt: is not what `ctxai phantom` wrote"):
        phantom(tree, patients=[PATIENT], margin_mm=0, resume=False)
    assert digest_of(tmp_path) == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"margin_mm": 5.0}, {"planted": "texture"}])
def test_two_kinds_of_phantom_are_not_mixed(tree, change):
    with pytest.raises(InputError, match="another kind of phantom"):
        phantom(tree, patients=[PATIENT], **({"margin_mm": 0} | change))


def test_unknown_patients_are_named(tmp_path):
    with pytest.raises(InputError, match="LIDC-IDRI-0238"):
        phantom(tmp_path, patients=[PATIENT, "LIDC-IDRI-0238"])
    assert not list(tmp_path.iterdir())
