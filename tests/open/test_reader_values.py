import pytest

from ctxai.data.targets import Target, TargetTable
from ctxai.errors import InputError
from ctxai.open.reader_values import asked_targets, check_values, field_of, review_values

OWN = TargetTable(
    (
        Target("resected", "binary"),
        Target("doubling_time", "regression", low=0, unit="d"),
        Target("sort", "multiclass", classes=("solid", "part-solid")),
    )
)


def test_a_reader_is_asked_for_the_targets_of_the_run_malignancy_apart():
    assert asked_targets(OWN, OWN.outputs) == list(OWN)
    assert [one.name for one in asked_targets(None, ("malignancy", "texture", "diameter"))] == ["diameter", "texture"]
    assert field_of(OWN["doubling_time"]) == {
        "name": "doubling_time",
        "title": "doubling_time, d",
        "classes": (),
        "low": 0,
        "high": None,
    }
    assert field_of(OWN["resected"])["classes"] == ("0", "1")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"age": 3}, "no target age"),
        ({"doubling_time": -1}, "doubling_time as a number from 0 to inf"),
        ({"doubling_time": "long"}, "doubling_time as a number"),
        ({"sort": "ground glass"}, "sort as one of solid, part-solid"),
        ({"resected": 1}, "resected as one of 0, 1"),
    ],
)
def test_values_that_no_target_has_are_refused(values, said):
    with pytest.raises(InputError, match=said):
        check_values(values, list(OWN))
    check_values({"doubling_time": 120.5, "sort": "solid", "resected": "1"}, list(OWN))


def test_the_numbers_of_the_model_stand_beside_those_of_the_reader():
    row = {"doubling_time": 90.0, "doubling_time_low": 10.0, "resected_probability": 0.2, "sort_solid_possible": 1.0}
    found = review_values({"sort": "solid"}, list(OWN), OWN, row)
    assert (found["reader_sort"], found["model_sort_solid_possible"]) == ("solid", 1.0)
    assert (found["reader_doubling_time"], found["model_doubling_time"]) == (None, 90.0)
    assert (found["model_doubling_time_low"], found["model_doubling_time_high"]) == (10.0, None)
    assert found["model_resected_probability"] == 0.2
    asked = asked_targets(None, ("malignancy", "texture", "margin"))
    ratings = review_values({"texture": 5}, asked, None, {"texture": 4.5, "texture_low": 4.0, "texture_high": 5.0})
    assert ratings == {"reader_texture": 5, "model_texture": 4.5, "model_texture_low": 4.0, "model_texture_high": 5.0}
    assert review_values({}, asked, None, {"texture": 4.5}) == {}
