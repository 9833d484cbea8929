"""What belongs together in a batch, and how maps become pixels."""

import pytest
import torch
from linear_cases import VIEWS, random_case
from tiny_vits import make_images, make_model

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch, to_pixels
from ctxai.explain import AGCAM, CDAM, AttentionMap

IMAGES = torch.zeros(2, 1, 4, 4)
MAPS = torch.zeros(2, 2, 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"maps": torch.zeros(3, 2, 2)}, "maps"),
        ({"maps": torch.full((2, 2, 2), torch.nan)}, "not finite"),
        ({"maps": torch.zeros(2, 2, 2, dtype=torch.long)}, "int64"),
        ({"second_maps": torch.zeros(1, 2, 2)}, "second_maps"),
        ({"masks": torch.zeros(2, 2, 2, dtype=torch.bool)}, "masks"),
        ({"masks": torch.zeros(2, 4, 4)}, "float32"),
        ({"target": torch.zeros(3, dtype=torch.long)}, "target"),
        ({"labels": torch.zeros(3)}, "labels"),
        ({"target": 1, "second_target": 1}, "the target itself"),
        ({"target": 1, "second_target": torch.tensor([0, 1])}, "the target itself"),
        ({"model": torch.nn.Linear(1, 1)}, "training mode"),
    ],
)
def test_what_does_not_belong_together_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        ExplanationBatch(**({"images": IMAGES, "maps": MAPS} | given))


def test_nearest_repeats_every_token():
    maps = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    expected = torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]])
    assert to_pixels(maps, (4, 4), "nearest").equal(expected[None].double())


@pytest.mark.parametrize("rule", ["nearest", "bilinear"])
def test_a_constant_map_stays_exactly_constant(rule):
    pixels = to_pixels(torch.full((1, 3, 3), 0.1), (7, 11), rule)
    assert (pixels == pixels[0, 0, 0]).all()


@pytest.mark.parametrize("rule", ["nearest", "bilinear"])
def test_the_map_of_opposite_sign_becomes_exactly_the_opposite(rule):
    maps = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
    assert to_pixels(-maps, (7, 11), rule).equal(-to_pixels(maps, (7, 11), rule))


def test_bilinear_agrees_with_torch_and_the_rule_is_the_methods_own():
    model = make_model("vit")
    images = make_images(model)
    for method, rule in ((CDAM(model), "nearest"), (AGCAM(model), "bilinear")):
        batch = ExplanationBatch(images, method.attribute(images, 1), method=method)
        assert batch.rule == rule
        torch.testing.assert_close(batch.pixel_maps, method.attribute(images, 1, size=(32, 32)))
    assert ExplanationBatch(images, batch.maps, method=AttentionMap(model), upsampling="bilinear").rule == "bilinear"


def test_probabilities_follow_the_link():
    outputs = torch.tensor([[[0.0, 2.0, 1.0]], [[1.0, -1.0, 3.0]]])
    batch = ExplanationBatch(IMAGES, MAPS, target=torch.tensor([1, 2]))
    assert batch.probability(outputs).tolist() == [[2.0], [3.0]]
    sigmoid = ExplanationBatch(IMAGES, MAPS, target=torch.tensor([1, 2]), link="sigmoid").probability(outputs)
    torch.testing.assert_close(sigmoid, torch.tensor([[2.0], [3.0]]).double().sigmoid())
    softmax = ExplanationBatch(IMAGES, MAPS, target=torch.tensor([1, 2]), link="softmax").probability(outputs)
    expected = [
        [2.718281828**2 / (1 + 2.718281828**2 + 2.718281828)],
        [20.0855369 / (20.0855369 + 2.7182818 + 0.3678794)],
    ]
    torch.testing.assert_close(softmax, torch.tensor(expected).double(), rtol=1e-6, atol=0)


def test_another_target_of_the_same_maps_shares_what_was_computed():
    batch = random_case()
    batch.recall("a", lambda: 1)
    other = batch.for_target(2, "sigmoid", torch.ones(3))
    assert other.recall("a", lambda: 2) == 1
    assert (other.target, other.link, other.views, other.labels.tolist()) == (2, "sigmoid", VIEWS, [1, 1, 1])
    assert random_case().recall("a", lambda: 2) == 2


def test_a_pixel_is_the_field_of_view_over_the_width():
    assert random_case().mm_per_pixel == 2.0
    with pytest.raises(InputError, match="views"):
        _ = ExplanationBatch(IMAGES, MAPS).mm_per_pixel


def test_explaining_copies_keeps_each_image_with_its_target():
    model = make_model("vit")
    images = make_images(model, 3)
    targets = torch.tensor([0, 3, 1])
    batch = ExplanationBatch(images, CDAM(model).attribute(images, targets), target=targets, method=CDAM(model))
    maps = batch.explain(images.repeat(30, 1, 1, 1), targets).unflatten(0, (30, 3))
    torch.testing.assert_close(maps, batch.maps.expand(30, -1, -1, -1), rtol=1e-9, atol=1e-9)
