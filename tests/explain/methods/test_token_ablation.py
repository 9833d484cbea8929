import pytest
import torch
from tiny_vits import KINDS, as_grid, assert_maps_equal, check_contract, make_images, make_model, vit_of

from ctxai.errors import InputError
from ctxai.explain import TokenAblation


def naive_ablation(model, image, target):
    """Take one token out of the sequence that enters the first block, with hooks."""
    vit = vit_of(model)
    rotary = hasattr(vit, "rope")
    losses = []
    with torch.no_grad():
        whole = model(image[None])[0, target]
        for patch in range(vit.patch_embed.num_patches):

            def shorten(module, inputs, keywords, patch=patch):
                position = vit.num_prefix_tokens + patch
                tokens = inputs[0]
                if module is vit.blocks[0]:
                    tokens = torch.cat([tokens[:, :position], tokens[:, position + 1 :]], dim=1)
                if rotary:
                    rope = keywords["rope"]
                    keywords = {**keywords, "rope": torch.cat([rope[:patch], rope[patch + 1 :]])}
                return (tokens, *inputs[1:]), keywords

            hooks = [block.register_forward_pre_hook(shorten, with_kwargs=True) for block in vit.blocks]
            losses.append(whole - model(image[None])[0, target])
            for hook in hooks:
                hook.remove()
    return as_grid(model, torch.cat([torch.zeros(vit.num_prefix_tokens).to(whole), torch.stack(losses)]))


@pytest.mark.parametrize("kind", KINDS)
def test_ablation_is_the_loss_without_a_token(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = torch.stack([naive_ablation(model, image, 4) for image in images])
    assert_maps_equal(TokenAblation(model, sequences_at_once=10).attribute(images, 4), expected)


def test_at_least_one_sequence_is_needed():
    with pytest.raises(InputError, match="at least one"):
        TokenAblation(make_model("vit"), sequences_at_once=0)


def test_token_ablation_keeps_the_contract():
    check_contract(TokenAblation)
