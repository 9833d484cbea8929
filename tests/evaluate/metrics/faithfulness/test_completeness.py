"""Completeness error where it is known."""

import numpy as np
import pytest
import torch
from tiny_vits import linear_model, make_images, make_model

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.metrics.faithfulness.completeness import CompletenessError
from ctxai.explain import CDAM, InputXGradient, IntegratedGradients, RandomMap


def case_of(model, method, shift=0.0):
    images = make_images(model, 2)
    return ExplanationBatch(images, method.attribute(images, 1) + shift, model, target=1, method=method)


@pytest.mark.parametrize("method", [InputXGradient, IntegratedGradients])
def test_gradients_of_a_linear_model_add_up(method):
    model = linear_model()
    np.testing.assert_allclose(CompletenessError().score(case_of(model, method(model))), 0, atol=1e-4)


def test_what_is_added_to_every_pixel_is_missed_by_as_much():
    model = linear_model()
    batch = case_of(model, InputXGradient(model), shift=0.5)
    pixels = batch.images[0].numel()
    np.testing.assert_allclose(CompletenessError().score(batch), 0.5 * pixels, rtol=1e-6)
    with torch.no_grad():
        change = (model(batch.images) - model(torch.zeros_like(batch.images)))[:, 1].abs()
    np.testing.assert_allclose(CompletenessError(relative=True).score(batch), 0.5 * pixels / change, rtol=1e-6)


def test_more_steps_of_integration_miss_less():
    model = make_model("vit")
    few, many = (
        CompletenessError().score(case_of(model, IntegratedGradients(model, steps=steps))) for steps in (3, 300)
    )
    assert (many < few / 5).all()


@pytest.mark.parametrize("method", [RandomMap, CDAM])
def test_methods_that_promise_no_sum_have_no_score(method):
    model = make_model("vit")
    assert np.isnan(CompletenessError().score(case_of(model, method(model)))).all()
