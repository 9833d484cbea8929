"""Any cut of the work into shards ends with what one run gives."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ctxai.cli import main
from ctxai.ct.header_table import read_headers
from ctxai.ingestion.bookkeeping import read_manifest

from folders import contents

COMMON = ["--method", "attention_map", "--formats", "nifti,seg", "--no-trust"]


@pytest.fixture(scope="module")
def whole(phantom_tree, run_folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main(["explain", str(phantom_tree), str(out), "--run", str(run_folder), *COMMON]) == 0
    return out


@pytest.fixture(scope="module")
def prepared(phantom_tree, tmp_path_factory) -> tuple[Path, Path]:
    """A store that is prepared, and the headers of its tree."""
    folder = tmp_path_factory.mktemp("prepared")
    store, headers = folder / "store", folder / "headers.parquet"
    assert main(["ingest", str(phantom_tree), str(store), "--prepare", "--headers", str(headers)]) == 0
    return store, headers


def explain(phantom_tree, run_folder, out, *arguments):
    return main(["explain", str(phantom_tree), str(out), "--run", str(run_folder), *COMMON, *map(str, arguments)])


def test_shards_of_explanation_leave_the_files_that_one_run_leaves(
    whole, phantom_tree, run_folder, prepared, tmp_path, capsys
):
    for index in (1, 0):
        headers = ["--headers", prepared[1]] if index else []
        assert explain(phantom_tree, run_folder, tmp_path, "--shard", f"{index}/2", *headers) == 0
        assert not (tmp_path / "predictions.csv").exists()
        if index:
            assert main(["explain", "--merge", str(tmp_path)]) == 2
            assert "1 of 2 shards are not done; run --shard 0/2" in capsys.readouterr().err
    assert main(["explain", "--merge", str(tmp_path)]) == 0
    shards = [json.loads(path.read_text()) for path in (tmp_path / "shards").iterdir()]
    assert sorted(len(shard["series"]) for shard in shards) == [1, 1]
    shutil.rmtree(tmp_path / "shards")
    assert contents(tmp_path) == contents(whole)


def test_a_series_that_cannot_be_explained_is_told_by_the_merge_and_holds_up_nothing(
    whole, phantom_tree, run_folder, tmp_path, caplog
):
    tree = tmp_path / "tree"
    shutil.copytree(phantom_tree, tree)
    (patient,) = (folder for folder in tree.iterdir() if folder.name.endswith("0003"))
    for path in sorted(patient.rglob("*.dcm"))[2:4]:
        path.unlink()
    out = tmp_path / "out"
    for index in (0, 1, 2):
        assert explain(tree, run_folder, out, "--shard", f"{index}/3") == 0
    caplog.clear()
    assert main(["explain", "--merge", str(out)]) == 0
    assert re.search(r"series [0-9a-f]{12} was left out: .*missing slice", caplog.text)
    assert str(tree) not in caplog.text
    rows = [row for row in (whole / "predictions.csv").read_text().splitlines() if "-0003-" not in row]
    assert (out / "predictions.csv").read_text().splitlines() == rows


def test_shards_of_different_options_and_of_nothing_are_not_merged(phantom_tree, run_folder, tmp_path, capsys):
    assert explain(phantom_tree, run_folder, tmp_path, "--shard", "0/2", "--no-maps") == 0
    assert explain(phantom_tree, run_folder, tmp_path, "--shard", "1/2", "--views", "axial", "--no-maps") == 0
    assert main(["explain", "--merge", str(tmp_path)]) == 2
    assert "its shards had different options" in capsys.readouterr().err
    assert explain(phantom_tree, run_folder, tmp_path, "--no-maps") == 0
    assert main(["explain", "--merge", str(tmp_path)]) == 2
    assert "found none" in capsys.readouterr().err
    table = (tmp_path / "predictions.csv").read_bytes()
    assert explain(phantom_tree, run_folder, tmp_path, "--shard", "0/1", "--no-maps") == 0
    assert main(["explain", "--merge", str(tmp_path)]) == 0
    assert (tmp_path / "predictions.csv").read_bytes() == table


def test_what_a_killed_explanation_left_is_removed(phantom_tree, run_folder, tmp_path):
    assert explain(phantom_tree, run_folder, tmp_path) == 0
    done = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    folder = next(tmp_path.glob("*/explained.json")).parent
    (folder / "explained.json").unlink()
    aside = tmp_path / f".99999999.abcdef.partial.{folder.name}"
    (aside / "maps").mkdir(parents=True)
    stale = [aside / "maps" / ".1.abcdef.partial.map.nii.gz", folder / ".1.abcdef.partial.report.html"]
    for path in [*stale, tmp_path / ".1.abcdef.partial.report.html"]:
        path.touch()
    assert explain(phantom_tree, run_folder, tmp_path) == 0
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == done


def test_only_named_patients_are_explained(phantom_tree, run_folder, tmp_path, capsys):
    assert explain(phantom_tree, run_folder, tmp_path, "--patients", "LIDC-IDRI-0001", "--no-maps") == 0
    assert "LIDC-IDRI-0003" not in (tmp_path / "predictions.csv").read_text()
    assert explain(phantom_tree, run_folder, tmp_path, "--patients", "LIDC-IDRI-0001", "LIDC-IDRI-0002") == 2
    assert "no CT series of 1 of 2 --patients" in capsys.readouterr().err
    assert explain(phantom_tree, run_folder, tmp_path, "--patients", "test") == 2
    assert "no CT series of the test fold" in capsys.readouterr().err


def test_shards_of_a_prepared_store_read_their_own_headers_and_make_the_same_store(prepared, phantom_tree, tmp_path):
    store, headers = tmp_path / "store", prepared[1]
    shutil.copytree(prepared[0], store)
    manifest = (store / "manifest.csv").read_bytes()
    assert read_manifest(store).to_csv(index=False, lineterminator="\n").encode() == manifest
    for index in (1, 0):
        command = ["ingest", str(phantom_tree), str(store), "--headers", str(headers), "--shard", f"{index}/2"]
        assert main(command) == 0
    assert main(["ingest", "--merge", str(store)]) == 0
    plain = tmp_path / "plain"
    assert main(["ingest", str(phantom_tree), str(plain)]) == 0
    assert contents(store) == contents(plain)
    assert len(read_headers(headers, phantom_tree)) == 2


def test_a_store_of_other_patients_is_replaced_only_when_told(phantom_tree, tmp_path, capsys):
    store = tmp_path / "store"
    one = ["ingest", str(phantom_tree), str(store), "--patients", "LIDC-IDRI-0001"]
    assert main(one) == 0
    other = ["ingest", str(phantom_tree), str(store), "--patients", "LIDC-IDRI-0003"]
    assert main(other) == 2
    assert "begun with another cohort, other patients or another --key" in capsys.readouterr().err
    assert main([*other, "--overwrite"]) == 0
    plain = tmp_path / "plain"
    assert main(["ingest", str(phantom_tree), str(plain), "--patients", "LIDC-IDRI-0003"]) == 0
    assert contents(store) == contents(plain)
    before = {path: path.stat().st_mtime_ns for path in (store / "parts").iterdir()}
    assert main([*other, "--overwrite"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (store / "parts").iterdir()} == before


def test_a_shard_of_a_store_that_is_not_prepared_or_lacks_headers_is_refused(phantom_tree, prepared, tmp_path, capsys):
    headers = str(prepared[1])
    assert main(["ingest", str(phantom_tree), str(tmp_path / "no"), "--headers", headers, "--shard", "0/2"]) == 2
    assert "not prepared" in capsys.readouterr().err
