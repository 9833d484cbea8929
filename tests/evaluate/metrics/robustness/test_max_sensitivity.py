"""Max-sensitivity where it is known."""

import numpy as np
import pytest
import torch
from tiny_vits import linear_model, make_images

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.metrics.robustness.max_sensitivity import MaxSensitivity
from ctxai.explain import InputXGradient


def case_of(**changes):
    model = linear_model()
    method, images = InputXGradient(model), make_images(model, 2)
    given = {"maps": method.attribute(images, 1), "target": 1, "method": method, "seed": 5} | changes
    return ExplanationBatch(images, **given)


def test_no_change_of_the_image_is_no_change_of_the_map():
    assert MaxSensitivity(radius=0.0).score(case_of()).tolist() == [0, 0]


def test_the_map_of_a_linear_model_changes_by_the_map_of_the_change():
    batch = case_of()
    draws = torch.rand(3, 1, 3, 32, 32, generator=torch.Generator().manual_seed(5)).to(batch.images)
    changes = torch.cat([batch.method.attribute(0.1 * (2 * draw - 1), 1) for draw in draws])
    largest = changes.flatten(1).norm(dim=1).max()
    expected = largest / batch.maps.flatten(1).norm(dim=1)
    np.testing.assert_allclose(MaxSensitivity(radius=0.1, draws=3).score(batch), expected, rtol=1e-5)


def test_a_map_of_zeros_has_no_score():
    assert np.isnan(MaxSensitivity(draws=1).score(case_of(maps=torch.zeros(2, 32, 32)))).all()


@pytest.mark.parametrize("options", [{"draws": 0}, {"radius": -1.0}])
def test_no_draw_and_a_negative_radius_are_refused(options):
    with pytest.raises(InputError, match="draw"):
        MaxSensitivity(**options)
