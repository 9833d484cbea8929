import pytest
import torch
from safetensors.torch import save_file
from timm.layers import HybridEmbed
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from ctxai.errors import ModelError
from ctxai.explain.token_grid import TokenGrid
from ctxai.models.backbone import make_backbone
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.heads import AuxiliaryHeads
from ctxai.models.mixed_embed import MixedEmbed
from ctxai.models.settings import BackboneConfig, HeadsConfig, OptimConfig

SMALL = {"patch_size": 4, "depth": 1, "width": 16, "heads": 2, "mlp_ratio": 2.0, "stem": (4, 8)}
MIXED = BackboneConfig(coarse_margin=True, **SMALL)


def averages(side, **options):
    """Every token is the mean of its pixels."""
    embed = {"img_size": side, "in_chans": 1, "embed_dim": 1, "proj": False} | options
    return MixedEmbed(**{"backbone": nn.AvgPool2d(4)} | embed)


def by_places(images, cell):
    """Means over cells of some pixels in the middle half of images (N, 1, side, side), over twice as many around it."""
    fine = avg_pool2d(images, cell)
    found = interpolate(avg_pool2d(images, 2 * cell), scale_factor=2.0)
    rows, columns = fine.shape[2:]
    middle = slice(rows // 4, 3 * rows // 4), slice(columns // 4, 3 * columns // 4)
    found[..., middle[0], middle[1]] = fine[..., middle[0], middle[1]]
    return found[:, 0]


@pytest.mark.parametrize("size", [(32, 32), (64, 32)])
def test_every_token_reads_the_pixels_of_its_cells(size):
    embed, images = averages(size), torch.randn(2, 1, *size)
    tokens = embed(images)
    assert tokens.shape == (2, embed.num_patches, 1)
    assert embed.num_patches == embed.cells.numel() * 7 // 16
    on_cells = TokenGrid(embed.grid_size, embed.cells).spread(tokens[..., 0], additive=False)
    torch.testing.assert_close(on_cells, by_places(images, 4))


def test_a_value_that_is_shared_out_among_the_cells_keeps_its_sum():
    embed = averages(32)
    tokens = TokenGrid(embed.grid_size, embed.cells)
    values = torch.randn(3, embed.num_patches, dtype=torch.float64)
    torch.testing.assert_close(tokens.spread(values).sum((1, 2)), values.sum(1))
    assert tokens.tokens == embed.num_patches


def test_values_of_the_cells_are_averaged_for_each_token():
    embed, images = averages(64), torch.randn(1, 1, 64, 64)
    fine = avg_pool2d(images, 4).flatten()[:, None]
    torch.testing.assert_close(embed.per_token(fine), embed(images)[0])


def test_the_stem_reads_the_middle_and_the_averaged_image_with_the_same_weights():
    embed = make_backbone(MIXED, 64).eval().patch_embed
    plain = make_backbone(BackboneConfig(**SMALL), 32).eval().patch_embed
    assert type(plain) is HybridEmbed
    plain.load_state_dict(embed.state_dict())
    images = torch.randn(2, 3, 64, 64)
    tokens = embed(images)
    torch.testing.assert_close(tokens[:, :64], plain(images[..., 16:48, 16:48]))
    around = plain(avg_pool2d(images, 2)).unflatten(1, (8, 8))
    kept = [around[:, row, column] for row in range(8) for column in range(8) if not {row, column} <= {2, 3, 4, 5}]
    torch.testing.assert_close(tokens[:, 64:], torch.stack(kept, dim=1))


def test_outlines_are_finest_where_the_tokens_are():
    """Tokens that are the means of their quarters, read out as they are, draw the averaged image."""
    quarters = nn.Sequential(nn.AvgPool2d(2), nn.PixelUnshuffle(2))
    embed, images = averages(32, backbone=quarters, embed_dim=4), torch.randn(2, 1, 32, 32)
    heads = AuxiliaryHeads(4, embed.grid_size, HeadsConfig(outline=1.0), embed.quarters())
    with torch.no_grad():
        heads.outline.weight.copy_(torch.eye(4))
        heads.outline.bias.zero_()
    torch.testing.assert_close(heads.outline_logits(embed(images)), by_places(images, 2))
    assert set(heads.state_dict()) == {"outline.weight", "outline.bias"}


def test_positions_start_from_the_places_of_the_tokens():
    backbone = make_backbone(MIXED, 64)
    fine = make_backbone(BackboneConfig(**SMALL), 64).pos_embed
    expected = backbone.patch_embed.per_token(fine[0, 1:])
    torch.testing.assert_close(backbone.pos_embed[0, 1:], expected)
    torch.testing.assert_close(backbone.pos_embed[0, 1], fine[0, 1 + 4 * 16 + 4])  # the first in the middle


def test_weights_of_equal_tokens_start_a_network_with_two_sizes(tmp_path):
    source = make_backbone(BackboneConfig(**SMALL), 64)
    source.pos_embed.data = torch.randn_like(source.pos_embed)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    mixed = make_backbone(BackboneConfig(coarse_margin=True, weights=tmp_path / "weights.safetensors", **SMALL), 64)
    torch.testing.assert_close(mixed.pos_embed[0, 0], source.pos_embed[0, 0])
    torch.testing.assert_close(mixed.pos_embed[0, 1:], mixed.patch_embed.per_token(source.pos_embed[0, 1:]))
    assert torch.equal(mixed.patch_embed.proj.weight, source.patch_embed.proj.weight)
    save_file(mixed.state_dict(), tmp_path / "mixed.safetensors")
    again = make_backbone(BackboneConfig(coarse_margin=True, weights=tmp_path / "mixed.safetensors", **SMALL), 64)
    assert torch.equal(again.pos_embed, mixed.pos_embed)
    with pytest.raises(ModelError, match="do not fit"):
        make_backbone(BackboneConfig(weights=tmp_path / "mixed.safetensors", **SMALL), 64)


def test_a_classifier_with_an_outline_learns_through_all_its_tokens():
    torch.manual_seed(0)
    model = NoduleClassifier(MIXED, 64, OptimConfig(), heads=HeadsConfig(readout="ordinal", outline=1.0))
    auxiliary = {"shares": torch.rand(2, 4), "weight": torch.ones(2), "outline": torch.rand(2, 32, 32)}
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    model.training_step((images, torch.randn(2, 9), auxiliary), 0).backward()
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())
    assert images.grad.abs().sum((0, 1)).gt(0).all()
    assert model.eval().outline(images).shape == (2, 32, 32)


@pytest.mark.parametrize(
    ("options", "pixels", "message"),
    [
        ({}, 48, r"coarse margin needs sides of a multiple of 8 patches, found \(12, 12\)"),
        ({"name": "vit_small_patch16_dinov3", "width": 384, "heads": 6}, 64, "cannot be built"),
    ],
)
def test_images_and_networks_without_such_tokens_are_refused(options, pixels, message):
    with pytest.raises(ModelError, match=message):
        make_backbone(BackboneConfig(coarse_margin=True, **SMALL | options), pixels)


def test_a_linear_embedding_has_tokens_of_one_size():
    with pytest.raises(ModelError, match="coarse_margin needs a stem"):
        BackboneConfig(coarse_margin=True)


def test_images_of_any_size_have_tokens_of_one_size():
    with pytest.raises(ModelError, match="pretrain without it"):
        make_backbone(MIXED, 64, any_size=True)


def test_an_image_of_another_size_is_refused():
    with pytest.raises(AssertionError, match="expected"):
        make_backbone(MIXED, 64)(torch.zeros(1, 3, 32, 32))
