"""What patients are called in stores and runs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from marked_identity import marked_ct

from ctxai.cli import main
from ctxai.ct.header_table import Owner
from ctxai.data.store import NoduleStore
from ctxai.deidentification.profile import Confidentiality
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.deidentification.secret_key import read_key
from ctxai.errors import InputError
from ctxai.run.run import Run

from runs import untrained_run
from sphere import SPHERE

OURS = Owner("0012345", "1.2.3")


@pytest.fixture
def names(tmp_path: Path) -> Pseudonymizer:
    return Pseudonymizer(tmp_path / "key")


def run_of(*training: str) -> Run:
    """A run that has learnt from these patients."""
    run = untrained_run()
    run.provenance["patients"]["training"] = list(training)
    return run


def test_a_public_id_stays_and_takes_no_key(names, tmp_path):
    assert names(Owner("LIDC-IDRI-0001", "1.2.3")) == "LIDC-IDRI-0001"
    assert list(tmp_path.iterdir()) == []


def test_another_id_becomes_a_pseudonym_that_no_guess_of_the_id_leads_to(names, tmp_path):
    name = names(OURS)
    assert re.fullmatch(r"patient-[0-9a-f]{4}-[0-9a-f]{16}", name)
    assert hashlib.sha256(OURS.patient_id.encode()).hexdigest()[:8] not in name
    assert Pseudonymizer(tmp_path / "key")(OURS) == name
    assert Pseudonymizer(tmp_path / "other")(OURS) != name


def test_patients_without_an_id_are_told_apart_by_their_studies(names):
    assert names(Owner("", "1.2.3")) != names(Owner("", "1.2.4"))


def test_one_id_of_two_issuers_is_two_patients(names, tmp_path):
    theirs = OURS._replace(issuer="HOSPITAL A")
    assert len({names(OURS), names(theirs), names(OURS._replace(issuer="HOSPITAL B"))}) == 3
    digits = Confidentiality(read_key(tmp_path / "key")).token("patient", OURS.patient_id, "HOSPITAL A").hex()[:16]
    assert names(theirs).endswith(digits)
    assert names(Owner("", "1.2.3", "HOSPITAL A")) == names(Owner("", "1.2.3"))


def test_a_patient_learnt_before_issuers_were_told_apart_is_known(names):
    theirs = OURS._replace(issuer="HOSPITAL A")
    assert names.learnt_by(run_of(names(OURS)), theirs) is True
    assert names.learnt_by(run_of(names(theirs)), OURS._replace(issuer="HOSPITAL B")) is False


def test_the_digits_are_those_of_deidentified_results(names, tmp_path):
    digits = Confidentiality(read_key(tmp_path / "key")).token("patient", OURS.patient_id).hex()[:16]
    assert names(OURS).endswith(digits)


def test_a_run_knows_its_patients_under_its_key_and_says_so_where_it_is_another(names, tmp_path):
    run = run_of(names(OURS))
    assert names.learnt_by(run, OURS) is True
    assert names.learnt_by(run, Owner("0012346", "1.2.3")) is False
    Pseudonymizer(tmp_path / "other")(OURS)
    assert Pseudonymizer(tmp_path / "other").learnt_by(run, OURS) is None
    assert Pseudonymizer(tmp_path / "absent").learnt_by(run, OURS) is None
    assert not (tmp_path / "absent").exists()


def test_a_run_of_public_patients_needs_no_key(names, tmp_path):
    run = run_of("LIDC-IDRI-0001")
    assert names.learnt_by(run, Owner("LIDC-IDRI-0001", "")) is True
    assert names.learnt_by(run, OURS) is False
    assert list(tmp_path.iterdir()) == []


def test_names_under_another_key_are_refused(names, tmp_path):
    names.refuse_foreign([names(OURS), "LIDC-IDRI-0001"], "store")
    with pytest.raises(InputError, match=r"^store: .* named under another key; give that with --key"):
        names.refuse_foreign([Pseudonymizer(tmp_path / "other")(OURS)], "store")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A tree of six patients, and points with a rating in each."""
    folder = tmp_path_factory.mktemp("patients")
    rows = ["x,y,z,series_uid,malignancy"]
    for number in range(6):
        uid = marked_ct(folder / "scans" / str(number), number)
        rows.append(f"{','.join(map(str, SPHERE))},{uid},{1 + 4 * (number % 2)}")
    (folder / "points.csv").write_text("\n".join(rows) + "\n")
    return folder


def ingested(tree: Path, store: Path, key: Path, *options: str) -> int:
    points = str(tree / "points.csv")
    return main(["ingest", str(tree / "scans"), str(store), "--points", points, "--key", str(key), *options])


def test_shards_without_kept_headers_agree_and_another_key_gives_other_names_and_the_same_folds(tree, tmp_path, capsys):
    key = tmp_path / "key"
    assert ingested(tree, tmp_path / "a", key) == 0
    for shard in ("0/2", "1/2"):
        assert ingested(tree, tmp_path / "b", key, "--shard", shard) == 0
    assert main(["ingest", "--merge", str(tmp_path / "b")]) == 0
    assert ingested(tree, tmp_path / "c", tmp_path / "other") == 0
    first, sharded, other = (NoduleStore(tmp_path / name).table for name in "abc")
    assert list(first.patient_id) == list(sharded.patient_id)
    assert set(first.patient_id).isdisjoint(other.patient_id)
    assert sorted(set(first.fold)) == [0, 1, 2, 3, 4]
    assert list(first.fold) == list(sharded.fold) == list(other.fold)
    assert ingested(tree, tmp_path / "a", tmp_path / "other") == 2
    assert "another --key" in capsys.readouterr().err


def test_explaining_says_which_patients_the_run_has_learnt_from(tree, tmp_path):
    key = tmp_path / "key"
    assert ingested(tree, tmp_path / "store", key) == 0
    known = NoduleStore(tmp_path / "store").table.patient_id[0]
    run_of(known).save(tmp_path / "run")
    shared = ["--run", str(tmp_path / "run"), "--points", str(tree / "points.csv"), "--no-maps", "--key", str(key)]
    assert main(["explain", str(tree / "scans"), str(tmp_path / "out"), *shared]) == 0
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    column = lines[0].split(",").index("in_sample")
    assert sorted(line.split(",")[column] for line in lines[1:]) == ["False"] * 5 + ["True"]
    only = [*shared, "--patients", known]
    assert main(["explain", str(tree / "scans"), str(tmp_path / "one"), *only]) == 0
    assert len((tmp_path / "one" / "predictions.csv").read_text().splitlines()) == 2
