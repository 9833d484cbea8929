"""Commands that are given a folder of another kind to write into say so and leave it as it is."""

import shutil

import pytest

from ctxai.cli import main
from ctxai.commands.train import train
from ctxai.data.store import NoduleStore
from ctxai.errors import InputError
from ctxai.training.settings import Execution

from cohorts import sphere_store


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(arguments, said, capsys, folder):
    before = contents(folder)
    assert main([str(word) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert contents(folder) == before


def test_results_are_not_written_into_a_store_or_the_ct(sphere_ct, write_points, planted_store, run_folder, capsys):
    options = ["--run", run_folder, "--points", write_points()]
    refused(["explain", sphere_ct, planted_store, *options], "is a nodule store", capsys, planted_store)
    refused(["explain", sphere_ct, sphere_ct, *options], "is read and would be written", capsys, sphere_ct)


def test_a_store_is_not_written_into_a_run_or_the_ct(sphere_ct, write_points, run_folder, capsys):
    options = ["--points", write_points()]
    refused(["ingest", sphere_ct, run_folder, *options], "is a run", capsys, run_folder)
    refused(["ingest", sphere_ct, sphere_ct, *options], "is read and would be written", capsys, sphere_ct)


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_replaces_no_folder_of_anything_else(tmp_path, resume):
    store = sphere_store(tmp_path / "store", nodules=40)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("ten years of work")
    with pytest.raises(InputError, match="is there and is not a run; give a folder that does not exist yet"):
        train(store.path, mine, execution=Execution(accelerator="cpu", resume=resume))
    assert (mine / "thesis.txt").read_text() == "ten years of work"


def test_tables_are_not_written_over_a_users_own(tmp_path, capsys):
    (tmp_path / "nodules.csv").write_text("my table\n")
    refused(["manifest", tmp_path], "nodules.csv: is there and is not of the tables of a manifest", capsys, tmp_path)


def test_a_bundle_replaces_neither_anothers_nor_a_users_files(run_folder, tmp_path, capsys):
    other = tmp_path / "other"
    (other / "configs").mkdir(parents=True)
    (other / "configs" / "metadata.json").write_text('{"name": "Spleen segmentation"}')
    refused(["export-bundle", run_folder, other], "is there and is not a bundle of ctxai", capsys, tmp_path)
    own = tmp_path / "own"
    assert main(["export-bundle", str(run_folder), str(own)]) == 0
    (own / "docs" / "notes.txt").write_text("mine")
    refused(["export-bundle", run_folder, own], "notes.txt: would be lost", capsys, tmp_path)
    (own / "docs" / "notes.txt").rename(own / "models" / "run" / "notes.txt")
    refused(["export-bundle", run_folder, own], "notes.txt: would be lost", capsys, tmp_path)
    (own / "models" / "run" / "notes.txt").unlink()
    assert main(["export-bundle", str(run_folder), str(own)]) == 0


def test_gates_are_not_written_over_another_file(run_folder, planted_store, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    arguments = ["train-diffmask", run_folder, planted_store, "--out", tmp_path / "thesis.txt"]
    refused(arguments, "expected gates written by VisionDiffMask.save", capsys, tmp_path)


def test_the_checkpoint_of_an_interrupted_training_is_not_lost_by_a_changed_option(tmp_path, capsys):
    store = sphere_store(tmp_path / "store", nodules=40)
    left = tmp_path / ".run.training" / "0123456789ab" / "last.ckpt"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"a day of work")
    small = ["--views.pixels", "16", "--backbone.depth", "1", "--optim.epochs", "1", "--accelerator", "cpu"]
    arguments = ["train", store.path, tmp_path / "run", *small]
    refused(arguments, "an interrupted training of other options or of another store", capsys, tmp_path)
    assert main([*map(str, arguments), "--overwrite"]) == 0
    assert not left.exists()


def test_files_of_the_person_in_a_run_folder_are_not_lost(run_folder, tmp_path, capsys):
    store = sphere_store(tmp_path / "store", nodules=40)
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    arguments = ["train", store.path, run, "--overwrite", "--optim.epochs", "1", "--accelerator", "cpu"]
    for own in (run / "notes.txt", run / "plots" / "figure 3.svg"):
        own.write_text("mine")
        refused(arguments, f"{own.name}: would be lost with the folder that is replaced", capsys, tmp_path)
        own.unlink()


@pytest.mark.parametrize("name", ["report.html", "issues.csv", "report.csv", "nodules.parquet", "manifest.csv"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_is_not_written_over_files_of_a_person(sphere_ct, write_points, tmp_path, capsys, name, overwrite):
    store = tmp_path / "store"
    store.mkdir()
    (store / name).write_text("mine")
    arguments = ["ingest", sphere_ct, store, "--points", write_points(), *(["--overwrite"] if overwrite else [])]
    refused(arguments, f"{name}: is" if overwrite or name != "manifest.csv" else "begun with", capsys, store)


def test_a_store_that_is_begun_anew_loses_no_file_of_a_person(sphere_ct, write_points, tmp_path, capsys):
    store = tmp_path / "store"
    arguments = ["ingest", sphere_ct, store, "--points", write_points()]
    assert main([*map(str, arguments)]) == 0
    capsys.readouterr()
    arguments += ["--overwrite", "--max_gap_mm", "9"]
    for own in (store / "parts" / "notes.txt", store / "notes.txt"):
        own.write_text("mine")
        refused(arguments, "notes.txt: would be lost", capsys, store)
        own.unlink()
    assert main([*map(str, arguments)]) == 0


def test_a_store_of_another_command_is_not_written_into(planted_store, sphere_ct, write_points, tmp_path, capsys):
    store = tmp_path / "store"
    shutil.copytree(planted_store, store)
    said = "holds a store that `ctxai ingest` has not begun"
    refused(["ingest", sphere_ct, store, "--points", write_points()], said, capsys, store)
    (store / "planted.json").unlink()
    arguments = ["planted", store, "--nodules", len(NoduleStore(store)), "--depth", NoduleStore(store).patch_shape[0]]
    refused(arguments, "holds another store, without planted evidence", capsys, store)


def test_headers_are_not_kept_in_a_file_of_something_else(sphere_ct, write_points, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    arguments = ["ingest", sphere_ct, tmp_path / "store", "--points", write_points(), "--prepare"]
    said = "thesis.txt: is there and holds something else"
    refused([*arguments, "--headers", tmp_path / "thesis.txt"], said, capsys, tmp_path)
    for _ in range(2):
        assert main([*map(str, arguments), "--headers", str(tmp_path / "headers.parquet")]) == 0


def test_a_benchmark_is_not_written_over_files_of_a_person(run_folder, planted_store, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("mine")
    said = "results.csv: is there and is not of results of `ctxai benchmark`"
    refused(["benchmark", run_folder, planted_store, tmp_path / "out"], said, capsys, tmp_path)


def test_swapped_folders_are_named(planted_store, run_folder, tmp_path, capsys):
    for arguments, said in (
        (["evaluate", planted_store, run_folder], "it is a nodule store"),
        (["train", run_folder, tmp_path / "run"], "it is a run"),
        (["explain", run_folder, tmp_path / "out"], "it is a run"),
        (["report", planted_store], "it is a nodule store"),
    ):
        assert main([str(word) for word in arguments]) == 2
        assert said in capsys.readouterr().err


def test_nodules_come_from_one_source(sphere_ct, tmp_path, capsys):
    arguments = ["ingest", sphere_ct, tmp_path / "store", "--points", "points.csv", "--xml", "lidc.xml"]
    assert main([str(word) for word in arguments]) == 2
    assert "--xml --points: each says where the nodules are" in capsys.readouterr().err


def test_the_end_of_an_explanation_names_the_page(sphere_ct, write_points, run_folder, tmp_path, capsys):
    options = ["--run", run_folder, "--points", write_points(), "--no-maps"]
    assert main([str(word) for word in ["explain", sphere_ct, tmp_path / "out", *options]]) == 0
    assert capsys.readouterr().err.endswith(f"1 nodule(s) of 1 series -> {tmp_path / 'out' / 'report.html'}\n")
