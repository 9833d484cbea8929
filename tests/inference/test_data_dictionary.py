"""The data dictionary of predictions.csv."""

import pandas as pd

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
