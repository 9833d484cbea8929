import shutil

import numpy as np
import pytest
from detection_bundles import write_bundle

from ctxai.annotations import read_points
from ctxai.cli import main
from ctxai.ct.series import read_series

from synthetic_ct import ct_grid, write_ct


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cts") / "ct"
    grid = ct_grid((16, 40, 40), (0.8, 0.8, 1.5))
    write_ct(folder, np.random.default_rng(0).integers(-900, 100, grid.shape).astype(np.int16), grid)
    return folder


def test_candidates_are_points_that_explain_reads(ct, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", backbone="resnet10", score_thresh=0.0, detections=3)
    out = tmp_path / "candidates.csv"
    assert main(["detect", str(ct), str(out), "--detector", str(bundle), "--device", "cpu"]) == 0
    points = read_points(out)
    assert [point.nodule_id for point in points] == ["candidate-001", "candidate-002", "candidate-003"]
    series = read_series(ct)
    assert {point.series_uid for point in points} == {series.series_uid}
    assert all(series.grid.contains(point.centre_lps) and point.diameter_mm > 0 for point in points)
    scores = [float(point.columns["score"]) for point in points]
    assert scores == sorted(scores, reverse=True)


def test_candidates_of_several_series_in_a_zip_are_told_apart_and_a_damaged_series_is_left_out(ct, tmp_path, caplog):
    bundle = write_bundle(tmp_path / "bundle", backbone="resnet10", score_thresh=0.0, detections=2)
    tree = tmp_path / "tree"
    shutil.copytree(ct, tree / "first")
    grid = ct_grid((16, 40, 40), (0.8, 0.8, 1.5))
    hu = np.random.default_rng(1).integers(-900, 100, grid.shape).astype(np.int16)
    write_ct(tree / "second", hu, grid, seed="second")
    files = write_ct(tree / "gap", hu, grid, seed="gap")
    files[7].unlink()
    packed = shutil.make_archive(str(tmp_path / "study"), "zip", tree)
    out = tmp_path / "candidates.csv"
    assert main(["detect", packed, str(out), "--detector", str(bundle), "--device", "cpu"]) == 0
    points = read_points(out)
    uids = {read_series(tree / name).series_uid for name in ("first", "second")}
    assert [point.nodule_id for point in points] == [f"candidate-{number:03d}" for number in range(1, 5)]
    assert {point.series_uid for point in points[:2]} | {point.series_uid for point in points[2:]} == uids
    assert [record.message for record in caplog.records if "left out" in record.message]
    assert main(["detect", str(tree / "gap"), str(out), "--detector", str(bundle), "--device", "cpu"]) == 2


def test_without_a_candidate_the_table_has_its_header_and_one_line_says_so(ct, tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle", backbone="resnet10", score_thresh=0.99)
    out = tmp_path / "candidates.csv"
    assert main(["detect", str(ct), str(out), "--detector", str(bundle), "--device", "cpu"]) == 0
    assert out.read_text() == "x,y,z,nodule_id,series_uid,diameter_mm,score\n"
    assert capsys.readouterr().out.startswith("no candidate found")


def test_candidates_replace_candidates_and_no_other_file(ct, tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle", backbone="resnet10", score_thresh=0.99)
    out = tmp_path / "points.csv"
    out.write_text("x,y,z\n1,2,3\n")
    command = ["detect", str(ct), str(out), "--detector", str(bundle), "--device", "cpu"]
    assert main(command) == 2
    assert "points.csv: is there and holds something else" in capsys.readouterr().err
    assert out.read_text() == "x,y,z\n1,2,3\n"
    out.unlink()
    assert main(command) == main(command) == 0


@pytest.mark.parametrize("name", ["candidates.csv", "candidates"])
def test_a_folder_that_is_no_bundle_or_a_name_that_is_no_csv_gives_one_line_and_writes_nothing(
    ct, tmp_path, capsys, name
):
    assert main(["detect", str(ct), str(tmp_path / name), "--detector", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
