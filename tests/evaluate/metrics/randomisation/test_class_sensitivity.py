"""Class sensitivity where it is known."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from tiny_vits import make_images, make_model

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.metrics.randomisation.class_sensitivity import ClassSensitivity
from ctxai.explain import CDAM, AttentionMap, AttentionRollout, RandomMap

METRIC = ClassSensitivity()


def case_of(first, second):
    maps = [torch.tensor(values, dtype=torch.float64).reshape(1, 2, 2) for values in (first, second)]
    return ExplanationBatch(torch.zeros(1, 1, 4, 4), maps[0], second_target=1, second_maps=maps[1])


@pytest.mark.parametrize("method", [AttentionMap, AttentionRollout, RandomMap])
def test_methods_that_ignore_the_target_score_exactly_one(method):
    model = make_model("classifier")
    images = make_images(model, 3)
    explain = method(model)
    batch = ExplanationBatch(images, explain.attribute(images, 1), target=1, second_target=2, method=explain)
    assert METRIC.score(batch).tolist() == [1, 1, 1]


def test_a_class_specific_method_agrees_with_scipy_and_needs_no_second_maps():
    model = make_model("classifier")
    images = make_images(model, 3)
    explain = CDAM(model)
    first, second = explain.attribute(images, [1, 3]).unbind(dim=1)
    asked = ExplanationBatch(images, first, target=1, second_target=3, method=explain)
    given = ExplanationBatch(images, first, target=1, second_target=3, second_maps=second)
    expected = [pearsonr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(METRIC.score(asked), expected, rtol=1e-6)
    np.testing.assert_allclose(METRIC.score(given), expected)


def test_known_pairs_of_maps():
    assert METRIC.score(case_of([1, 2, 3, 4], [2, 4, 6, 8]))[0] == pytest.approx(1)
    assert METRIC.score(case_of([1, -1, 1, -1], [1, 1, -1, -1]))[0] == pytest.approx(0)
    assert METRIC.score(case_of([5, 5, 5, 5], [5, 5, 5, 5]))[0] == 1
    assert np.isnan(METRIC.score(case_of([5, 5, 5, 5], [1, 2, 3, 4]))[0])


def test_the_classes_of_highest_and_lowest_confidence_can_be_compared():
    model = make_model("vit")
    images = make_images(model, 4)
    outputs = model(images)
    highest, lowest = outputs.argmax(dim=1), outputs.argmin(dim=1)
    explain = CDAM(model)
    batch = ExplanationBatch(
        images, explain.attribute(images, highest), target=highest, second_target=lowest, method=explain
    )
    one = ExplanationBatch(
        images[2:3], batch.maps[2:3], target=int(highest[2]), second_target=int(lowest[2]), method=explain
    )
    assert METRIC.score(batch)[2] == pytest.approx(METRIC.score(one)[0])


def test_the_second_target_and_something_to_make_its_maps_are_needed():
    with pytest.raises(InputError, match="method, second_target"):
        METRIC.score(ExplanationBatch(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2)))
    with pytest.raises(InputError, match="method"):
        METRIC.score(ExplanationBatch(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2), second_target=1))
