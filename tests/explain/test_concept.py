import pytest
import torch
from tiny_vits import make_images, make_model

from ctxai.errors import InputError
from ctxai.explain import CDAM, Concept


def test_concept_is_the_mean_embedding_before_the_classification_layer():
    model = make_model("vit")
    images = make_images(model, 3)
    concept = Concept.from_images(model, images, name="calcified")
    expected = model.forward_head(model.forward_features(images), pre_logits=True).mean(dim=0)
    torch.testing.assert_close(concept.vector, expected.detach())
    assert repr(concept) == "Concept('calcified', 48 dimensions)"


def test_the_weights_of_an_output_are_the_concept_of_this_output():
    model = make_model("vit")
    images = make_images(model)
    maps = CDAM(model).attribute(images, [Concept(model.head.weight[3]), 3])
    torch.testing.assert_close(maps[:, 0], maps[:, 1])


def test_concept_of_another_width_is_refused():
    model = make_model("vit")
    with pytest.raises(InputError, match="expected 48 numbers"):
        CDAM(model).attribute(make_images(model), Concept(torch.zeros(7)))


@pytest.mark.parametrize("vector", [torch.zeros(2, 2), torch.tensor([1.0, torch.nan]), torch.tensor([1, 2])])
def test_concept_that_is_no_finite_vector_is_refused(vector):
    with pytest.raises(InputError, match="finite vector"):
        Concept(vector)


def test_example_images_that_are_not_finite_are_refused():
    model = make_model("vit")
    with pytest.raises(InputError, match="image 1"):
        Concept.from_images(model, torch.stack([torch.zeros(3, 32, 32), torch.full((3, 32, 32), torch.nan)]).double())
