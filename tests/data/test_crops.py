from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ctxai.cli import main
from ctxai.data.crops import import_crops, longest_diameter, resample_crop
from ctxai.data.patches import AIR_HU
from ctxai.data.store import NoduleStore
from ctxai.errors import StoreError

from folders import contents

TRAITS = (
    "subtlety",
    "internalstructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
)


def collection(folder: Path, patients: int = 10) -> Path:
    n = patients * 2
    generator = np.random.default_rng(0)
    mask = np.zeros((n, 71, 71), bool)
    mask[:, 30:41, 33:38] = True
    hu = np.where(mask, 50, -800).astype(np.int16)
    labels = pd.DataFrame(
        {
            "nodule_id": np.arange(1, n + 1),
            "patient_id": [f"P{i // 2}" for i in range(n)],
            "series_uid": [f"1.2.{i // 2}" for i in range(n)],
            "z_mm": -100.0,
            "pixel_spacing_mm": 0.5,
            "n_readers": 3,
            "readers_malignancy": ["5|4|2", "1|3|2"] * patients,
            **{f"readers_{trait}": [f"{r}|{r}|1" for r in generator.integers(1, 6, n)] for trait in TRAITS},
        }
    )
    folder.mkdir()
    np.savez_compressed(folder / "crops.npz", nodule_id=labels["nodule_id"].to_numpy(), hu=hu, mask=mask)
    labels.to_csv(folder / "labels.csv", index=False)
    return folder


def test_a_linear_ramp_is_resampled_exactly_about_the_centre():
    ramp = np.round(np.arange(71) * 10.0).astype(np.int16)[None].repeat(71, axis=0)  # 20 HU per mm at 0.5 mm
    hu, _, valid = resample_crop(ramp, np.zeros((71, 71), bool), 0.5)
    columns = np.flatnonzero(valid[32])
    assert len(columns) == 36 and valid.sum() == 36 * 36  # a crop of 35.5 mm
    inner = columns[1:-1]
    np.testing.assert_array_equal(hu[32, inner], 350 + 20 * (inner - 31.5))
    assert (hu[valid == 0] == AIR_HU).all()


def test_the_outline_keeps_its_size_and_place():
    mask = np.zeros((71, 71), bool)
    mask[25:46, 25:46] = True  # 21 pixels of 0.5 mm about the centre
    _, inside, _ = resample_crop(np.zeros((71, 71), np.int16), mask, 0.5)
    assert inside.sum() == 100
    np.testing.assert_allclose(np.argwhere(inside).mean(0), 31.5)


def test_the_longest_diameter_reaches_from_corner_to_corner():
    mask = np.zeros((20, 20), bool)
    assert longest_diameter(mask) == 0
    mask[5:8, 5:9] = True
    assert longest_diameter(mask) == pytest.approx(5.0)


def test_a_collection_becomes_a_store_with_labels_and_patient_folds(tmp_path):
    store = import_crops(collection(tmp_path / "crops"), tmp_path / "store")
    table = store.table
    assert store.patch_shape == (1, 64, 64)
    assert list(table["label_malignancy"][:2]) == [1.0, 0.0]
    assert table["malignancy_mean"][0] == pytest.approx(11 / 3)
    assert table["malignancy_ratings"][0] == "5|4|2"
    assert table["diameter_mm"][0] == pytest.approx(0.5 * np.hypot(11, 5), abs=1e-3)
    assert (table.groupby("patient_id")["fold"].nunique() == 1).all()
    assert set(table["fold"]) == set(range(5))
    assert store.agreement(0).max() == 1
    again = import_crops(tmp_path / "crops", tmp_path / "again").table
    pd.testing.assert_frame_equal(table, again)


def test_a_collection_without_z_becomes_the_same_patches_and_the_end_is_told(tmp_path, capsys):
    folder = collection(tmp_path / "crops")
    import_crops(folder, tmp_path / "with")
    labels = pd.read_csv(folder / "labels.csv")
    labels.drop(columns="z_mm").to_csv(folder / "labels.csv", index=False)
    assert main(["ingest", str(tmp_path / "without"), "--crops", str(folder)]) == 0
    assert "20 crops -> " in capsys.readouterr().err
    stores = [NoduleStore(tmp_path / name) for name in ("with", "without")]
    np.testing.assert_array_equal(stores[0].hu(3), stores[1].hu(3))
    assert stores[1].table["z"].isna().all() and (stores[0].table["z"] == -100).all()


def test_a_store_of_other_crops_is_not_written_over(tmp_path):
    folder = collection(tmp_path / "crops")
    store = import_crops(folder, tmp_path / "store")
    import_crops(folder, tmp_path / "store")
    store.write_table(store.table.assign(nodule_id=lambda table: "other-" + table["nodule_id"]))
    before = contents(tmp_path / "store")
    with pytest.raises(StoreError, match="holds a store of other nodules"):
        import_crops(folder, tmp_path / "store")
    assert contents(tmp_path / "store") == before


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    with pytest.raises(StoreError, match=r"crops\.npz is missing"):
        import_crops(tmp_path, tmp_path / "store")
    folder = collection(tmp_path / "crops")
    labels = pd.read_csv(folder / "labels.csv")
    labels.iloc[::-1].to_csv(folder / "labels.csv", index=False)
    with pytest.raises(StoreError, match="same nodules in the same order"):
        import_crops(folder, tmp_path / "store")
    labels.drop(columns="readers_texture").to_csv(folder / "labels.csv", index=False)
    with pytest.raises(StoreError, match="readers_texture"):
        import_crops(folder, tmp_path / "store")


@pytest.mark.parametrize(
    ("column", "value"),
    [("pixel_spacing_mm", 1e-9), ("pixel_spacing_mm", "wide"), ("readers_malignancy", "5|many"), ("n_readers", None)],
)
def test_a_line_that_cannot_be_is_refused_by_its_number(tmp_path, column, value):
    folder = collection(tmp_path / "crops")
    labels = pd.read_csv(folder / "labels.csv").astype({column: object})
    labels.loc[1, column] = value
    labels.to_csv(folder / "labels.csv", index=False)
    with pytest.raises(StoreError, match=f"line 3: {column}"):
        import_crops(folder, tmp_path / "store")


def test_labels_that_are_no_table_are_refused(tmp_path):
    (collection(tmp_path / "crops") / "labels.csv").write_bytes(b'a,b\n"1\n\xff')
    with pytest.raises(StoreError, match="not a CSV file"):
        import_crops(tmp_path / "crops", tmp_path / "store")


def test_the_real_collection_has_the_published_counts(real_data, tmp_path):
    table = import_crops(real_data / "lidc-nodules-2d", tmp_path / "store").table
    used = table[(table["n_readers"] >= 3) & table["label_malignancy"].notna()]
    assert (len(table), len(used), used["patient_id"].nunique(), int(used["label_malignancy"].sum())) == (
        2153,
        675,
        412,
        313,
    )
