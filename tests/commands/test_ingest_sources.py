"""Nodules from elsewhere than LIDC-IDRI's database: XML, points, LUNA16."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from ctxai.cli import main
from ctxai.ct.series import read_series
from ctxai.data.store import NoduleStore

from sphere import SPHERE, centred_grid, sphere_hu
from synthetic_ct import ct_grid, write_ct


def test_the_xml_of_the_real_scan_gives_the_patch_that_the_database_gives(lidc_0001, tmp_path):
    (xml,) = lidc_0001.rglob("*.xml")
    assert main(["ingest", str(lidc_0001), str(tmp_path / "xml"), "--xml", str(xml)]) == 0
    assert main(["ingest", str(lidc_0001), str(tmp_path / "database")]) == 0
    found, expected = NoduleStore(tmp_path / "xml"), NoduleStore(tmp_path / "database")
    for name in ("hu", "agreement", "valid"):
        np.testing.assert_array_equal(getattr(found, name)(0), getattr(expected, name)(0))
    same = ["nodule_id", "patient_id", "series_uid", "n_readers", "diameter_mm", "malignancy_mean", "x", "y", "z"]
    pd.testing.assert_frame_equal(found.table[same], expected.table[same])


def test_points_without_labels_become_unlabelled_rows(sphere_ct, tmp_path, write_points):
    assert main(["ingest", str(sphere_ct), str(tmp_path / "store"), "--points", str(write_points())]) == 0
    store = NoduleStore(tmp_path / "store")
    row = store.table.iloc[0]
    assert (row.nodule_id, row.n_readers, row.fold, row.fault, row.diameter_mm) == ("sphere", 0, -1, "", 14)
    assert np.isnan(row.label_malignancy) and np.isnan(row.spiculation_mean)
    assert row.patient_id.startswith("patient-")
    np.testing.assert_allclose([row.x, row.y, row.z], SPHERE)
    assert store.hu(0)[28:36, 28:36, 28:36].mean() > -100
    assert not store.agreement(0).any()


def test_labels_beside_points_are_taken(sphere_ct, tmp_path, write_points):
    x, y, z = SPHERE
    points = write_points(
        f"x,y,z,nodule_id,label_malignancy,malignancy,spiculation\n{x},{y},{z},a,1,,2.5\n{x},{y},{z},b,,2,\n"
    )
    assert main(["ingest", str(sphere_ct), str(tmp_path / "store"), "--points", str(points)]) == 0
    table = NoduleStore(tmp_path / "store").table
    assert list(table.label_malignancy) == [1, 0]
    assert table.spiculation_mean[0] == 2.5
    assert table.malignancy_median[1] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y,z,malignancy\n4,-9,17,7\n", "line 2: malignancy is not a number from 1 to 5"),
        ("x,y,z,label_malignancy\n4,-9,17,maybe\n", "line 2: label_malignancy is not a number from 0 to 1"),
        ("x,y,z,series_uid\n4,-9,17,1.2.3\n", "names the series 1.2.3"),
    ],
)
def test_bad_points_are_refused_in_one_line(sphere_ct, tmp_path, write_points, capsys, text, words):
    assert main(["ingest", str(sphere_ct), str(tmp_path / "store"), "--points", str(write_points(text))]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "store").exists()


def test_a_point_outside_the_ct_is_a_fault_of_its_row_alone(sphere_ct, tmp_path, write_points):
    points = write_points("x,y,z\n{},{},{}\n900,0,0\n".format(*SPHERE))
    assert main(["ingest", str(sphere_ct), str(tmp_path / "store"), "--points", str(points)]) == 0
    fault = NoduleStore(tmp_path / "store").table.fault
    assert fault[0] == ""
    assert "lies outside the CT" in fault[1]


def luna(folder, hu, grid, uid="1.2.840.1") -> None:
    (folder / "subset0").mkdir(parents=True)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin(grid.affine[:3, 3].tolist())
    image.SetDirection((grid.affine[:3, :3] / grid.spacing_mm).ravel().tolist())
    sitk.WriteImage(image, str(folder / "subset0" / f"{uid}.mhd"))
    x, y, z = SPHERE
    (folder / "annotations.csv").write_text(
        f"seriesuid,coordX,coordY,coordZ,diameter_mm\n{uid},{x},{y},{z},14.0\n9.9,0,0,0,5\n"
    )


def test_luna_gives_the_patch_that_the_same_dicom_series_gives(tmp_path, write_points):
    grid = centred_grid((40, 96, 100), (0.8, 0.9, 2.0))
    write_ct(tmp_path / "ct", sphere_hu(grid), grid)
    luna(tmp_path / "luna", sphere_hu(grid), grid)
    assert main(["ingest", str(tmp_path / "store"), "--luna", str(tmp_path / "luna")]) == 0
    assert main(["ingest", str(tmp_path / "ct"), str(tmp_path / "dicom"), "--points", str(write_points())]) == 0
    found, expected = NoduleStore(tmp_path / "store"), NoduleStore(tmp_path / "dicom")
    assert len(found) == 1
    np.testing.assert_array_equal(found.hu(0), expected.hu(0))
    np.testing.assert_array_equal(found.valid(0), expected.valid(0))
    assert found.table.series_uid[0] == "1.2.840.1"


def test_damaged_luna_files_are_a_fault_of_their_rows_or_refused(tmp_path, capsys):
    grid = ct_grid((6, 8, 8))
    luna(tmp_path / "luna", np.zeros(grid.shape, np.int16), grid)
    (tmp_path / "luna" / "subset0" / "1.2.840.1.mhd").write_text("nothing")
    assert main(["ingest", str(tmp_path / "store"), "--luna", str(tmp_path / "luna")]) == 0
    assert "not a readable MetaImage" in NoduleStore(tmp_path / "store").table.fault[0]
    table = tmp_path / "luna" / "annotations.csv"
    for text, words in [
        ("seriesuid,coordX\n1.2.840.1,left\n", "line 2: expected numbers"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2.840.1,nan,2,3,4\n", "finite"),
        ("a", "none of its 1"),
        ("\0", "not a CSV file"),
        ('"', "not a CSV file"),
        (None, "expected LUNA16's annotations"),
    ]:
        table.unlink() if text is None else table.write_text(text, encoding="latin-1")
        assert main(["ingest", str(tmp_path / "other"), "--luna", str(tmp_path / "luna")]) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_a_repaired_series_keeps_the_readers_agreement_at_its_true_place(tmp_path, phantom_tree):
    """One slice fewer above the nodule changes where slices are counted, not where the nodule is."""
    import shutil

    tree = tmp_path / "dicom"
    shutil.copytree(phantom_tree / "LIDC-IDRI-0001", tree)
    files = sorted(tree.rglob("*.dcm"))
    assert main(["ingest", str(tree), str(tmp_path / "sound")]) == 0
    sound = NoduleStore(tmp_path / "sound")
    files[-2].unlink()  # the slice next to the lowest one, below the outlines
    assert read_series_fails(tree)
    assert main(["ingest", str(tree), str(tmp_path / "broken")]) == 0
    broken = NoduleStore(tmp_path / "broken")
    assert broken.table.repairs[0].startswith("missing slice")
    np.testing.assert_allclose(broken.table[["x", "y", "z"]], sound.table[["x", "y", "z"]], atol=1e-3)
    np.testing.assert_array_equal(broken.agreement(0), sound.agreement(0))


def read_series_fails(tree) -> bool:
    from ctxai.errors import GeometryError

    with pytest.raises(GeometryError, match="missing slice"):
        read_series(tree)
    return True
