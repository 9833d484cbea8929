"""The data dictionary of predictions.csv."""

import pandas as pd

from ctxai.data.targets import Target, plain_targets
from ctxai.inference.data_dictionary import data_package


def test_the_mark_and_the_middle_have_a_type_a_unit_and_a_direction():
    columns = [f"{point}{axis}" for point in ("", "middle_") for axis in "xyz"]
    (resource,) = data_package(pd.DataFrame([dict.fromkeys(columns, 0.5)]))["resources"]
    fields = {field["name"]: field for field in resource["schema"]["fields"]}
    assert list(fields) == columns
    directions = ("towards the patient's left", "towards posterior", "towards superior")
    for name, direction in zip(columns, directions * 2, strict=True):
        assert fields[name]["type"] == "number"
        assert fields[name]["description"].endswith(f"LPS mm, {direction}")


def test_the_spread_over_the_models_of_an_ensemble_has_a_plain_name_and_a_unit():
    targets = [Target("days", unit="d"), Target("sort", "multiclass", classes=("a", "b"))]
    columns = ["diameter_spread", "texture_spread", "days_spread", "sort_a_probability_spread"]
    (resource,) = data_package(pd.DataFrame([dict.fromkeys(columns, 0.5)]), plain_targets(targets))["resources"]
    assert [field["description"] for field in resource["schema"]["fields"]] == [
        "standard deviation of diameter over the models of an ensemble, mm",
        "standard deviation of texture over the models of an ensemble, on the readers' scale",
        "standard deviation of days over the models of an ensemble, d",
        "standard deviation of sort_a_probability over the models of an ensemble",
    ]
