"""Stability under another kernel where it is known."""

import pytest
import torch
from tiny_vits import make_images, make_model

from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.metrics.robustness.kernel_stability import KernelStability
from ctxai.explain import CDAM, AttentionMap

VIEWS = ViewConfig(pixels=32, field_of_view_mm=32.0)


def test_a_map_of_an_image_without_edges_does_not_feel_the_kernel():
    model = make_model("vit")
    images = torch.tensor([0.2, -0.4], dtype=torch.float64)[:, None, None, None].expand(2, 3, 32, 32).clone()
    method = CDAM(model)
    batch = ExplanationBatch(images, method.attribute(images, 1), model, target=1, method=method, views=VIEWS)
    assert KernelStability().score(batch) == pytest.approx([1, 1], abs=1e-6)


def test_a_wider_kernel_changes_a_map_more():
    model = make_model("vit")
    images = make_images(model) * 0.3
    method = AttentionMap(model)
    batch = ExplanationBatch(images, method.attribute(images), model, method=method, views=VIEWS)
    little, much = (KernelStability(sigma_mm=sigma).score(batch).mean() for sigma in (0.2, 1.5))
    assert 1 > little > much


def test_a_kernel_without_width_is_refused():
    with pytest.raises(InputError, match="above 0"):
        KernelStability(sigma_mm=0)
