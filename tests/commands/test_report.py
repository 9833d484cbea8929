import shutil

from ctxai.cli import main


def test_the_report_of_explain_can_be_written_again_after_the_folder_moved(
    sphere_ct, run_folder, tmp_path, write_points
):
    out = tmp_path / "out"
    arguments = ["explain", str(sphere_ct), str(out), "--run", str(run_folder), "--points", str(write_points())]
    assert main([*arguments, "--formats", "nifti"]) == 0
    page = (out / "report.html").read_bytes()
    assert b'data-plane="axial"' in page
    moved = tmp_path / "elsewhere"
    shutil.move(out, moved)
    (moved / "report.html").unlink()
    assert main(["report", str(moved)]) == 0
    assert (moved / "report.html").read_bytes() == page


def test_predictions_without_maps_have_a_report_that_says_how_to_get_images(
    sphere_ct, run_folder, tmp_path, write_points
):
    out = tmp_path / "out"
    arguments = ["explain", str(sphere_ct), str(out), "--run", str(run_folder), "--points", str(write_points())]
    assert main([*arguments, "--no-maps"]) == 0
    assert "without <code>--no-maps</code>" in (out / "report.html").read_text()


def test_another_folder_is_refused_in_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "expected the folder that `ctxai explain` wrote" in capsys.readouterr().err
