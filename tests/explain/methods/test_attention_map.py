import pytest
import torch
from tiny_vits import KINDS, as_grid, assert_maps_equal, check_contract, make_images, make_model, query_row, record

from ctxai.errors import InputError
from ctxai.explain import AttentionMap


@pytest.mark.parametrize("kind", KINDS)
def test_attention_map_is_the_head_mean_of_the_last_block(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = [as_grid(model, query_row(model, record(model, image).attention[-1][0].mean(dim=0))) for image in images]
    assert_maps_equal(AttentionMap(model).attribute(images, 0), torch.stack(expected))


def test_attention_map_keeps_the_contract():
    check_contract(AttentionMap)


@pytest.mark.parametrize(("head", "block"), [(0, -1), (2, 0), (-1, 1)])
def test_one_head_of_one_block_can_be_chosen(head, block):
    model = make_model("vit")
    images = make_images(model)
    expected = [as_grid(model, query_row(model, record(model, image).attention[block][0][head])) for image in images]
    assert_maps_equal(AttentionMap(model, head=head, block=block).attribute(images, 0), torch.stack(expected))


@pytest.mark.parametrize("what", ["head", "block"])
def test_a_head_or_block_that_does_not_exist_is_refused(what):
    with pytest.raises(InputError, match=f"{what} from -3 to 2, found 3"):
        AttentionMap(make_model("vit"), **{what: 3})
