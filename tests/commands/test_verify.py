import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ctxai.cli import main
from ctxai.resources import resource


@pytest.fixture(scope="module")
def sound(phantom_tree, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("verify")
    assert main(["ingest", str(phantom_tree), str(folder / "store")]) == 0
    return {"manifest": resource("data_manifests"), "store": folder / "store", "dicom": phantom_tree}


@pytest.fixture
def copies(sound, tmp_path) -> dict[str, Path]:
    for name, path in sound.items():
        shutil.copytree(path, tmp_path / name)
    return {name: tmp_path / name for name in sound}


def run(paths: dict[str, Path]) -> int:
    return main(["verify", str(paths["manifest"]), "--store", str(paths["store"]), "--dicom", str(paths["dicom"])])


def test_what_belongs_together_has_no_finding(sound, capsys):
    assert run(sound) == 0
    assert "no finding" in capsys.readouterr().err


def change_a_table(paths):
    with (paths["manifest"] / "folds.csv").open("a") as file:
        file.write("LIDC-IDRI-9999-01,LIDC-IDRI-9999,0\n")


def drop_a_table(paths):
    (paths["manifest"] / "readings.csv").unlink()


def damage_the_package(paths):
    (paths["manifest"] / "datapackage.json").write_text("{")


def drop_a_part(paths):
    next((paths["store"] / "parts").iterdir()).unlink()


def damage_a_chunk(paths):
    chunk = next(path for path in sorted((paths["store"] / "patches.zarr" / "hu" / "c").rglob("*")) if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:100])


def empty_a_patch(paths):
    for path in sorted((paths["store"] / "patches.zarr" / "valid" / "c" / "1").rglob("*")):
        if path.is_file():
            path.unlink()


def drop_the_table(paths):
    (paths["store"] / "nodules.parquet").unlink()


def change_a_label(paths):
    table = pd.read_parquet(paths["store"] / "nodules.parquet")
    table["label_malignancy"] = 1 - table["label_malignancy"]
    table.to_parquet(paths["store"] / "nodules.parquet", index=False)


def change_a_layout(paths):
    layout = json.loads((paths["store"] / "layout.json").read_text())
    (paths["store"] / "layout.json").write_text(json.dumps(layout | {"rows": 99}))


def drop_a_series(paths):
    shutil.rmtree(paths["dicom"] / "LIDC-IDRI-0003")


def drop_an_image(paths):
    next((paths["dicom"] / "LIDC-IDRI-0003").rglob("*.dcm")).unlink()


def damage_an_image(paths):
    path = next((paths["dicom"] / "LIDC-IDRI-0003").rglob("*.dcm"))
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change_a_table, "folds.csv: its SHA-256 is not the one"),
        (change_a_table, "folds.csv: 1 nodule_id are not in nodules.csv, first LIDC-IDRI-9999-01"),
        (drop_a_table, "readings.csv: missing"),
        (damage_the_package, "not a readable data package"),
        (drop_a_part, "missing or damaged; run the same `ctxai ingest` again"),
        (damage_a_chunk, "hu of row 0 cannot be read"),
        (empty_a_patch, "row 1 (LIDC-IDRI-0003-01): holds no scanned voxel and no fault"),
        (drop_the_table, "ingestion is not finished"),
        (change_a_label, "label_malignancy of 4 nodule(s) is not the manifest's"),
        (change_a_layout, "damaged store"),
        (drop_a_series, "is not in the DICOM tree"),
        (drop_an_image, "other image(s)"),
        (damage_an_image, "cut short"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_every_kind_of_damage_is_one_line_and_exit_code_2(copies, capsys, damage, words):
    damage(copies)
    assert run(copies) == 2
    lines = capsys.readouterr().err.splitlines()
    assert any(words in line for line in lines)
    assert lines[-1].startswith("error: ") and lines[-1].endswith("finding(s)")


def test_nothing_to_verify_is_bad_input(capsys):
    assert main(["verify"]) == 2
    assert "nothing to verify" in capsys.readouterr().err
