import numpy as np
import pandas as pd
from matplotlib.image import imread

from ctxai.data.settings import ViewConfig
from ctxai.evaluate.predictions.worst_cases import worst_cases_figure, worst_rows, write_worst_cases

from cohorts import sphere_store


def table(store):
    rows = store.table
    predicted = rows["malignancy_mean"] + np.linspace(0, 2, len(rows))
    return pd.DataFrame(
        {
            "nodule_id": rows["nodule_id"],
            "diameter_mm": rows["diameter_mm"],
            "malignancy": predicted,
            "malignancy_low": predicted - 1,
            "malignancy_readers": rows["malignancy_mean"],
            "malignancy_ratings": rows["malignancy_ratings"],
        }
    )


def test_the_largest_errors_come_first_and_unknown_ones_not_at_all(tmp_path):
    predictions = table(sphere_store(tmp_path / "store", nodules=10, depth=1))
    predictions.loc[9, "malignancy_readers"] = np.nan
    assert worst_rows(predictions, 3).tolist() == [8, 7, 6]
    assert len(worst_rows(predictions, 99)) == 9


def test_pictures_show_the_nodules_of_the_named_rows_with_their_ratings(tmp_path):
    store = sphere_store(tmp_path / "store", nodules=10, depth=3)
    predictions = table(store).iloc[::-1]
    rows = np.arange(10)[::-1]
    figure = worst_cases_figure(predictions, store, rows, ViewConfig(field_of_view_mm=40), count=4)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title().split(",")[0] for axes in shown] == ["N009", "N008", "N007", "N006"]
    ratings = store.table["malignancy_ratings"][9].replace("|", " ")
    assert f"readers {ratings}" in shown[0].get_title()
    np.testing.assert_array_equal(shown[0].images[0].get_array(), store.hu(9)[1])
    assert shown[0].get_xlim() == (-20, 20)


def test_the_file_is_the_same_every_time(tmp_path):
    store = sphere_store(tmp_path / "store", nodules=10, depth=1)
    for name in ("a.png", "b.png"):
        write_worst_cases(tmp_path / name, table(store), store, np.arange(10), ViewConfig())
    assert imread(tmp_path / "a.png").std() > 0.01
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
