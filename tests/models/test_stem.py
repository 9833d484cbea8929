import pytest
import torch
from safetensors.torch import save_file

from ctxai.errors import ModelError
from ctxai.explain import CDAM, TokenAblation
from ctxai.models.backbone import BackboneConfig, make_backbone
from ctxai.models.stem import ConvStem

SMALL = BackboneConfig(patch_size=4, depth=1, width=16, heads=2, mlp_ratio=2.0, stem=(4, 8))


def test_every_width_of_a_stem_halves_the_resolution():
    assert ConvStem((4,))(torch.zeros(1, 3, 16, 16)).shape == (1, 4, 8, 8)
    assert ConvStem((4, 6, 8), channels=1)(torch.zeros(1, 1, 16, 16)).shape == (1, 8, 2, 2)


def test_a_backbone_with_a_stem_has_a_token_for_every_patch():
    backbone = make_backbone(SMALL, 32)
    assert backbone.patch_embed.grid_size == (8, 8)
    assert backbone.forward_features(torch.zeros(2, 3, 32, 32)).shape == (2, 65, 16)
    assert (backbone.num_heads if hasattr(backbone, "num_heads") else backbone.blocks[0].attn.num_heads) == 2


@pytest.mark.parametrize("name", ["vit_small_patch8_224.dino", "vit_small_patch14_reg4_dinov2.lvd142m"])
def test_any_vision_transformer_of_timm_takes_a_stem(name):
    backbone = make_backbone(BackboneConfig(name=name, patch_size=8, depth=1, stem=(4, 8)), 32)
    assert backbone.patch_embed.grid_size == (4, 4)  # two pixels of the stem's features a token


def test_a_stem_sees_beyond_its_token():
    backbone = make_backbone(SMALL, 64).eval()
    images = torch.randn(1, 3, 64, 64, requires_grad=True)
    backbone.patch_embed(images)[0, 0].sum().backward()
    reached = images.grad[0].abs().sum(0) > 0
    assert reached[4:8, 4:8].any() and not reached[32:].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": (4, 8), "patch_size": 6}, "multiple of 4"),
        ({"stem": (4, 8), "patch_size": None}, "multiple of 4"),
        ({"stem": (0,)}, "above 0"),
        ({"width": 10**6}, "above 0"),
    ],
)
def test_impossible_stems_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        BackboneConfig(**options)


def test_a_stem_before_dinov3_is_refused_in_one_line():
    with pytest.raises(ModelError, match="cannot be built"):
        make_backbone(BackboneConfig(name="vit_small_patch16_dinov3", patch_size=8, stem=(4, 8)), 32)


@pytest.mark.parametrize("method", [CDAM, TokenAblation])
def test_a_backbone_with_a_stem_is_explained_on_its_tokens(method):
    torch.manual_seed(0)
    model = torch.nn.Sequential(make_backbone(SMALL, 32), torch.nn.Linear(16, 2)).eval()
    found = method(model).attribute(torch.randn(2, 3, 32, 32), target=1)
    assert found.shape == (2, 8, 8) and found.std() > 0


@pytest.mark.parametrize(
    ("name", "patch", "grid"),
    [("vit_tiny_r_s16_p8_224", 8, 8), ("vit_tiny_r_s16_p8_224", None, 2), ("vit_small_r26_s32_224", None, 2)],
)
def test_hybrids_of_timm_have_a_token_for_every_patch_of_pixels(name, patch, grid):
    backbone = make_backbone(BackboneConfig(name, patch_size=patch, depth=1), 64)
    assert backbone.patch_embed.grid_size == (grid, grid)
    assert backbone.patch_embed.feat_ratio() == 64 // grid
    assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, backbone.embed_dim)


@pytest.mark.parametrize(
    ("name", "patch", "pixels", "message"),
    [
        ("vit_tiny_r_s16_p8_224", 6, 64, r"needs a patch_size that is a multiple of 4, found 6"),
        ("vit_small_r26_s32_224", 8, 64, r"needs a patch_size that is a multiple of 32, found 8"),
        ("vit_small_r26_s32_224", None, 72, r"72 px are not a multiple of its stem's 32 px"),
    ],
)
def test_patches_and_images_that_a_hybrids_stem_cannot_cut_are_refused(name, patch, pixels, message):
    with pytest.raises(ModelError, match=message):
        make_backbone(BackboneConfig(name, patch_size=patch, depth=1), pixels)


def test_the_weights_of_a_hybrid_load_with_its_stem_and_patch_sizes_are_told_in_pixels(tmp_path):
    options = {"name": "vit_tiny_r_s16_p8_224", "depth": 1, "width": 16, "heads": 2}
    source = make_backbone(BackboneConfig(patch_size=8, **options), 32).eval()
    save_file(source.state_dict(), tmp_path / "hybrid.safetensors")
    loaded = make_backbone(BackboneConfig(patch_size=8, weights=tmp_path / "hybrid.safetensors", **options), 32).eval()
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(loaded(image), source(image))
    with pytest.raises(ModelError, match="patches of 8 px, but this backbone has 32 px"):
        make_backbone(BackboneConfig(patch_size=None, weights=tmp_path / "hybrid.safetensors", **options), 32)
