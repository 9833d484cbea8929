import shutil

from ctxai.cli import main

from folders import contents


def test_a_store_is_not_merged_before_its_last_shard(phantom_tree, tmp_path, capsys):
    folder = tmp_path / "store"
    assert main(["ingest", str(phantom_tree), str(folder), "--shard", "0/2"]) == 0
    assert main(["ingest", "--merge", str(folder)]) == 2
    assert "1 series are not ingested yet" in capsys.readouterr().err


def test_a_page_to_look_at_can_be_added_when_the_store_is_merged(phantom_store, tmp_path):
    copy = tmp_path / "store"
    shutil.copytree(phantom_store.path, copy)
    assert main(["ingest", "--merge", str(copy), "--report"]) == 0
    page = (copy / "report.html").read_text()
    assert "<b>1018</b> scans in LIDC-IDRI" in page
    assert "LIDC-IDRI-0003" in page
    (copy / "report.html").unlink()
    assert contents(copy) == contents(phantom_store.path)


def test_what_a_killed_run_left_is_swept_when_the_store_is_merged(phantom_store, tmp_path):
    copy = tmp_path / "store"
    shutil.copytree(phantom_store.path, copy)
    names = (".1.0abc12.partial.manifest.csv", "parts/.1.0abc12.partial.x.json", "patches.zarr/hu/c/0/0/0/0.ff.partial")
    for name in names:
        (copy / name).write_text("half")
    assert main(["ingest", "--merge", str(copy)]) == 0
    assert contents(copy) == contents(phantom_store.path)
