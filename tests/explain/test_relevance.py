import pytest
import timm
import torch
from tiny_vits import TINY, linear_model, make_images, make_model

from ctxai.errors import ModelError
from ctxai.explain.network import Network
from ctxai.explain.relevance import Relevance, safe_divide


def test_division_by_zero_is_zero():
    assert safe_divide(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).tolist() == [0.0, 0.5]


def test_division_is_stabilised_as_in_the_published_code():
    one = torch.ones(4, dtype=torch.float64)
    small = torch.tensor([1e-9, -1e-9, 3e-9, -3e-9], dtype=torch.float64)
    published = small.clamp(min=1e-9) + small.clamp(max=1e-9)
    published = published + published.eq(0) * 1e-9
    torch.testing.assert_close(safe_divide(one, small), one / published * small.ne(0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", ["vit", "distilled", "rotary with biases", "pooled", "classifier"])
def test_the_pass_gives_the_models_own_outputs(kind):
    model = make_model(kind)
    images = make_images(model)
    torch.testing.assert_close(Relevance(Network(model), images).readout.outputs, model(images))


def test_each_attention_matrix_receives_at_most_what_the_output_had():
    model = make_model("vit")
    images = make_images(model)
    (last,) = Relevance(Network(model), images, first=-1).of_attention(torch.zeros(1, 2, dtype=torch.long))
    assert len(last) == 1
    assert (last[0].sum(dim=(1, 2, 3)).abs() <= 0.5 + 1e-6).all()


def test_without_attention_to_anything_no_attention_is_relevant():
    model = linear_model()
    (shares,) = Relevance(Network(model), make_images(model)).of_attention(torch.zeros(1, 2, dtype=torch.long))
    assert not any(share.any() for share in shares)


def test_layers_without_a_rule_are_refused():
    model = timm.create_model("vit_small_patch14_reg4_dinov2", img_size=28, **TINY)
    gated = timm.create_model("vit_giant_patch14_dinov2", img_size=28, **TINY)
    Relevance(Network(model), torch.randn(1, 3, 28, 28))
    with pytest.raises(ModelError, match=r"GluMlp|SwiGLU"):
        Relevance(Network(gated), torch.randn(1, 3, 28, 28))
    strange = make_model("classifier")
    strange.head[0] = torch.nn.Bilinear(3, 3, 3)
    with pytest.raises(ModelError, match="Bilinear"):
        Relevance(Network(strange), make_images(strange))
