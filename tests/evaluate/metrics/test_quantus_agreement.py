"""Quantus computes the same where the definitions agree.

Elsewhere they do not: its FaithfulnessCorrelation removes scattered pixels and not boxes, its RegionPerturbation keeps
the whole curve, its MPRT starts layers anew instead of shuffling them, its Completeness is an exact comparison, its
AttributionLocalisation adds to the denominator, and its Sparseness is a Gini index.
"""

import numpy as np
import pytest
import torch
from linear_cases import AddingUp, mask_case, random_case
from tiny_vits import linear_model, make_images, make_model
from torch import nn

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.perturb import outputs_after_removal
from ctxai.evaluate.metrics.localisation.energy_inside import EnergyInside
from ctxai.evaluate.metrics.localisation.pointing_game import PointingGame
from ctxai.evaluate.metrics.randomisation.class_sensitivity import ClassSensitivity
from ctxai.evaluate.metrics.robustness.max_sensitivity import MaxSensitivity
from ctxai.explain import CDAM, InputXGradient

quantus = pytest.importorskip("quantus", reason="pip install quantus")

PLAIN = {"normalise": False, "disable_warnings": True, "return_aggregate": False}


class Module(nn.Module):
    """A callable as a torch module in single precision, which is what Quantus runs."""

    def __init__(self, model: AddingUp) -> None:
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images.double()).float()


def run(metric, model, batch, **more):
    inputs = {"x_batch": batch.images.numpy(), "y_batch": np.full(len(batch), batch.target)}
    inputs |= {"a_batch": batch.pixel_maps[:, None].numpy(), "device": "cpu", "softmax": False}
    return np.array(metric(model=model, **(inputs | more)))


def test_deletion_curves_agree_with_pixel_flipping():
    both = random_case()
    batch = random_case(images=both.images[:, :1], model=AddingUp(both.model.weights[:, :1]))  # one channel, no ties
    flipping = quantus.PixelFlipping(features_in_step=4, perturb_baseline=0.0, **PLAIN)
    (most,) = outputs_after_removal(batch, ["MoRF"], range(4, 37, 4), "zero")
    np.testing.assert_allclose(batch.explained(most), run(flipping, Module(batch.model).eval(), batch), atol=1e-5)


def test_localisation_agrees_with_relevance_mass_and_pointing_game():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(6, 8, 8, generator=generator) < 0.3
    batch = mask_case(torch.rand(6, 8, 8, generator=generator), masks)
    segments = {"s_batch": masks[:, None].numpy().astype(int)}
    model = Module(AddingUp(torch.zeros(1, 1, 8, 8).double())).eval()
    mass = run(quantus.RelevanceMassAccuracy(**PLAIN), model, batch, **segments)
    np.testing.assert_allclose(EnergyInside().score(batch), mass, rtol=1e-6)
    hits = run(quantus.PointingGame(**PLAIN), model, batch, **segments)
    assert len(set(hits)) == 2
    np.testing.assert_array_equal(PointingGame().score(batch), hits)


def explain_by(method):
    def explain(model, inputs, targets, **unused):
        images = torch.as_tensor(inputs).to(next(model.parameters()).dtype)
        maps = method(model).attribute(images, torch.as_tensor(targets).long(), size=images.shape[2:])
        return maps[:, None].numpy()

    return explain


def test_class_sensitivity_agrees_with_random_logit_between_two_classes():
    model = make_model("vit", torch.float32)
    model.head.weight.data[2:] = 0
    images = make_images(model, 3)
    method = CDAM(model)
    batch = ExplanationBatch(images, method.attribute(images, 0), model, target=0, second_target=1, method=method)
    metric = quantus.RandomLogit(similarity_func=quantus.similarity_func.correlation_pearson, num_classes=2, **PLAIN)
    expected = run(metric, model, batch, explain_func=explain_by(CDAM))
    np.testing.assert_allclose(ClassSensitivity().score(batch), expected, atol=1e-5)


def test_max_sensitivity_agrees_for_the_same_change():
    model = linear_model().float()
    images = make_images(model, 2)
    method = InputXGradient(model)
    batch = ExplanationBatch(images, method.attribute(images, 1), model, target=1, method=method, seed=8)
    draw = torch.rand(1, 1, 3, 32, 32, generator=torch.Generator().manual_seed(8))
    change = (0.1 * (2 * draw - 1)).flatten().numpy()
    metric = quantus.MaxSensitivity(nr_samples=1, perturb_func=lambda arr, indices, **unused: arr + change, **PLAIN)
    expected = run(metric, model, batch, explain_func=explain_by(InputXGradient))
    np.testing.assert_allclose(MaxSensitivity(radius=0.1, draws=1).score(batch), expected, rtol=1e-4)
