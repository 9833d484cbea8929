"""What a series in the store depends on."""

import numpy as np
import pydicom
import pytest

from ctxai.cli import main
from ctxai.data.store import NoduleStore

from sphere import SPHERE, centred_grid, sphere_hu
from synthetic_ct import write_ct


@pytest.mark.parametrize("prepared", [False, True], ids=["at once", "prepared"])
def test_a_header_that_was_mended_in_place_is_read_again(tmp_path, prepared):
    grid = centred_grid((36, 40, 44), (2.0, 2.0, 2.0))
    files = write_ct(tmp_path / "ct", sphere_hu(grid), grid)
    (tmp_path / "points.csv").write_text("x,y,z\n{},{},{}\n".format(*SPHERE))
    command = ["ingest", str(tmp_path / "ct"), str(tmp_path / "store"), "--points", str(tmp_path / "points.csv")]

    def ingest() -> np.ndarray:
        if prepared:
            headers = ["--headers", str(tmp_path / "headers.parquet")]
            assert main([*command, "--prepare", *headers]) == 0
            assert main([*command, *headers]) == 0
            assert main(["ingest", "--merge", str(tmp_path / "store")]) == 0
        else:
            assert main(command) == 0
        return np.asarray(NoduleStore(tmp_path / "store").hu(0))

    before = ingest()
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.RescaleIntercept = "-1014"
        dataset.save_as(file)
    after = ingest()
    inside = (before > -1000) & (after > -1000)
    assert inside.mean() > 0.3 and (after[inside] - before[inside] == 10).all()
    before_parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.json")}
    np.testing.assert_array_equal(ingest(), after)
    parts = [path for path in before_parts if path.parent.name == "parts"]
    assert all(path.stat().st_mtime_ns == before_parts[path] for path in parts)
