import pytest
import torch
from tiny_vits import KINDS, as_grid, assert_maps_equal, check_contract, make_images, make_model, query_row, record

from ctxai.explain import AttentionMap


@pytest.mark.parametrize("kind", KINDS)
def test_attention_map_is_the_head_mean_of_the_last_block(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = [as_grid(model, query_row(model, record(model, image).attention[-1][0].mean(dim=0))) for image in images]
    assert_maps_equal(AttentionMap(model).attribute(images, 0), torch.stack(expected))


def test_attention_map_keeps_the_contract():
    check_contract(AttentionMap)
