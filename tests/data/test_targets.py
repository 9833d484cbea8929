import json

import numpy as np
import pandas as pd
import pytest

from ctxai.data.targets import LIDC, Target, TargetTable, in_order, read_targets
from ctxai.errors import InputError, StoreError

GRADE = Target("kind", "multiclass", "kind", classes=("Solid", "part-solid", "ground glass"))
STAGE = Target("stage", "ordinal", low=1, high=4, cut_offs=(1.5, 2.5, 3.5))


def test_the_table_of_lidc_has_its_columns_and_scales():
    assert LIDC["diameter"].column == "diameter_mm" and LIDC["texture"].column == "texture_mean"
    assert LIDC["calcification"].limits == (1, 6) and LIDC["diameter"].limits == (0, np.inf)
    assert LIDC.outputs == LIDC.names and len(LIDC) == 9
    assert in_order(["texture", "malignancy"]) == ("malignancy", "texture")


def test_a_multiclass_target_has_an_output_for_each_class():
    table = TargetTable((Target("grade", "binary"), GRADE, STAGE))
    assert table.outputs == ("grade", "kind_solid", "kind_part_solid", "kind_ground_glass", "stage")
    assert table.slices == {"grade": slice(0, 1), "kind": slice(1, 4), "stage": slice(4, 5)}
    assert table.owner("kind_solid") is GRADE and table.owner("other") is None


def test_levels_of_an_ordinal_scale_lie_between_its_cut_offs():
    assert STAGE.levels == (1, 2, 3, 4)


def test_labels_become_numbers_and_places_of_classes():
    frame = pd.DataFrame({"kind": ["Solid", None, "ground glass"], "stage": [1.0, 4.0, np.nan]})
    np.testing.assert_array_equal(
        TargetTable((GRADE, STAGE)).values(frame), np.float32([[0, 1], [np.nan, 4], [2, np.nan]])
    )
    np.testing.assert_array_equal(
        TargetTable((GRADE,)).output_values("kind_ground_glass", frame), np.float32([0, np.nan, 1])
    )


def test_two_numbers_as_classes_are_read_from_a_column_of_numbers():
    values = Target("lobe", "binary", classes=("1", "3")).values(pd.Series([3.0, 1.0, np.nan]))
    np.testing.assert_array_equal(values, np.float32([1, 0, np.nan]))


@pytest.mark.parametrize(
    ("target", "labels", "words"),
    [
        (GRADE, ["Solid", "cavity"], "holds cavity; expected Solid"),
        (Target("grade", "binary"), [0, 2], "holds 2; expected 0 or 1"),
        (Target("vdt", low=0), [-1.0, 3.0], "expected numbers from 0"),
        (Target("vdt"), ["fast", "slow"], "holds fast"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(target, labels, words):
    with pytest.raises(StoreError, match=words):
        target.values(pd.Series(labels))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "Grade"}, "cannot name a target"),
        ({"name": "x"}, "cannot name a target"),
        ({"name": "stage", "kind": "ordinal", "low": 1, "high": 3}, "cut_offs"),
        ({"name": "kind", "kind": "multiclass", "classes": ["a"]}, "two or more classes, found 1"),
        ({"name": "kind", "kind": "multiclass", "classes": ["a b", "a-b"]}, "differ in nothing but signs"),
        ({"name": "grade", "kind": "binary", "classes": ["a", "b", "c"]}, "expected two classes, found 3"),
        ({"name": "grade", "classes": ["a", "b"]}, "classes are"),
        ({"name": "vdt", "low": 3, "high": 1}, "low below high"),
        ({"name": "malignancy", "kind": "binary"}, "own_malignancy"),
        ({"name": "grade", "sort": "binary"}, "unknown option sort"),
        ({"name": "grade", "kind": "bin"}, "found 'bin'"),
    ],
)
def test_a_target_that_is_not_whole_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        read_targets([json.dumps(given)])


def test_a_table_is_read_from_yaml_or_json_and_not_mixed_with_names(tmp_path):
    file = tmp_path / "targets.yaml"
    file.write_text("- {name: grade, kind: binary}\n- {name: vdt, unit: d, low: 0}\n")
    assert read_targets([str(file)]) == (Target("grade", "binary"), Target("vdt", unit="d", low=0))
    assert read_targets(["texture"]) == ("texture",)
    for wrong in (["texture", str(file)], ["{name"], [str(tmp_path / "none.yaml")], [str(file), str(file)]):
        with pytest.raises(InputError):
            read_targets(wrong)
