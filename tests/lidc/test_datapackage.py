import json

import pandas as pd

from ctxai.cli import main
from ctxai.files import sha256
from ctxai.resources import resource


def test_the_shipped_manifest_is_what_the_command_writes_byte_for_byte(tmp_path):
    assert main(["manifest", str(tmp_path)]) == 0
    shipped = resource("data_manifests")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["datapackage.json", "folds.csv", "nodules.csv", "readings.csv", "scans.csv"]
    for name in names:
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes(), name


def test_the_data_package_describes_every_table_with_its_checksum():
    folder = resource("data_manifests")
    package = json.loads((folder / "datapackage.json").read_text())
    for entry in package["resources"]:
        path = folder / entry["path"]
        assert entry["hash"] == f"sha256:{sha256(path)}"
        assert entry["bytes"] == path.stat().st_size
        assert [field["name"] for field in entry["schema"]["fields"]] == list(pd.read_csv(path, nrows=0).columns)
