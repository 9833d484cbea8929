"""Tiny transformers of every kind that the methods must explain, and what "left as it was" means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import timm
import torch
from torch import Tensor, nn

from ctxai.models.mixed_embed import MixedEmbed
from ctxai.models.stem import ConvStem

torch.set_num_threads(1)

TINY = {"embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 5}


class Classifier(nn.Module):
    """A transformer between preprocessing and a head of its own, as the project's classifier is."""

    target_names = ("benign", "malignancy", "margin", "texture", "other")

    def __init__(self, backbone: nn.Module, pool: str = "vit") -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        width = backbone.embed_dim * (2 if pool == "class+mean" else 1)
        self.head = nn.Sequential(nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, 5))

    def forward(self, images: Tensor) -> Tensor:
        images = (images - 0.1) / 0.9
        if self.pool == "vit":
            return self.head(self.backbone(images))
        tokens = self.backbone.forward_features(images)
        return self.head(torch.cat([tokens[:, 0], tokens[:, self.backbone.num_prefix_tokens :].mean(dim=1)], dim=1))


def _build(kind: str) -> nn.Module:
    if kind == "vit":
        return timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=32, **TINY)
    if kind == "wide grid":
        return timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=(24, 40), **TINY)
    if kind == "registers":
        return timm.create_model("vit_small_patch14_reg4_dinov2", img_size=(42, 28), **TINY)
    if kind == "distilled":
        return timm.create_model("deit_tiny_distilled_patch16_224", patch_size=8, img_size=32, **TINY)
    if kind == "query and key norm":
        return timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=32, qk_norm=True, **TINY)
    if kind == "pooled":
        return timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=32, global_pool="avg", **TINY)
    if kind == "no class token":
        options = {"global_pool": "avg", "class_token": False}
        return timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=32, **options, **TINY)
    if kind == "rotary":
        return timm.create_model("vit_small_patch16_dinov3", global_pool="token", img_size=(48, 32), **TINY)
    if kind == "rotary with biases":
        return timm.create_model("vit_small_patch16_dinov3_qkvb", global_pool="token", img_size=(48, 32), **TINY)
    if kind == "rotary and pooled":
        return timm.create_model("vit_small_patch16_dinov3", img_size=(48, 32), **TINY)
    if kind == "two sizes of tokens":
        embed = partial(MixedEmbed, backbone=ConvStem((4, 8)))
        return timm.create_model("vit_tiny_patch16_224", patch_size=1, img_size=32, embed_layer=embed, **TINY)
    options = {**TINY, "num_classes": 0}
    backbone = timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=32, **options)
    return Classifier(backbone, "class+mean" if kind == "class and mean" else "vit")


KINDS = [
    "vit",
    "wide grid",
    "registers",
    "distilled",
    "query and key norm",
    "pooled",
    "no class token",
    "rotary",
    "rotary with biases",
    "rotary and pooled",
    "two sizes of tokens",
    "classifier",
    "class and mean",
]
CLASS_TOKEN_KINDS = [
    "vit",
    "wide grid",
    "registers",
    "query and key norm",
    "rotary with biases",
    "two sizes of tokens",
    "classifier",
]


def make_model(kind: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A model of a kind with weights large enough that attention and read-out are far from uniform."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = _build(kind)
        for parameter in model.parameters():
            parameter.data = torch.randn_like(parameter) * (0.4 if parameter.ndim == 1 else 0.25)
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.data += 1
    return model.to(dtype).eval()


def vit_of(model: nn.Module) -> nn.Module:
    return model.backbone if isinstance(model, Classifier) else model


def make_images(model: nn.Module, count: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    size = vit_of(model).patch_embed.img_size
    return torch.randn(count, 3, *size, generator=generator, dtype=torch.float64).to(dtype)


def grid_of(model: nn.Module) -> tuple[int, int]:
    return tuple(vit_of(model).patch_embed.grid_size)


def state_of(model: nn.Module) -> list:
    """Everything that a method could leave behind on a model: attributes, hooks, flags, gradients."""
    state = []
    for name, module in model.named_modules():
        attributes = {
            key: (sorted(value) if isinstance(value, dict) else id(value)) for key, value in vars(module).items()
        }
        state.append((name, id(module), type(module), module.training, attributes))
    return state + [(name, p.requires_grad, p.grad is None, p._version) for name, p in model.named_parameters()]


def linear_model() -> nn.Module:
    """A pooled transformer without attention and MLPs: every output is linear in the pixels, plus a constant."""
    model = make_model("no class token")
    for block in model.blocks:
        for layer in (block.attn.proj, block.mlp.fc2):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    model.norm, model.fc_norm = nn.Identity(), nn.Identity()
    return model


def pixel_weights(model: nn.Module, target: int) -> Tensor:
    """What a pixel (C, H, W) adds to an output of :func:`linear_model`, per unit."""
    image = make_images(model, 1).requires_grad_()
    return torch.autograd.grad(model(image)[0, target], image)[0][0]


def check_contract(
    method: type,
    kinds: list[str] = CLASS_TOKEN_KINDS,
    tolerance: float = 1e-9,
    callables: bool = True,
    **options: object,
) -> None:
    """Shapes, dtype, batches, targets, modes and cleanliness of ``method``."""
    for kind in kinds:
        model = make_model(kind)
        images = make_images(model)
        explain = method(model, **options)
        height, width = grid_of(model) if method.resolution == "patch" else images.shape[2:]
        maps = explain.attribute(images, 1)
        assert maps.shape == (2, height, width)
        assert maps.dtype == images.dtype
        assert not maps.requires_grad
        assert maps.isfinite().all()
        alone = torch.cat([explain.attribute(image[None], 1) for image in images])
        torch.testing.assert_close(maps, alone, rtol=tolerance, atol=tolerance * float(maps.abs().max()))

    model = make_model("classifier").train()
    images = make_images(model)
    explain = method(model, **options)
    before = state_of(model)
    expected = explain.attribute(images, 1)
    assert state_of(model) == before
    close = {"rtol": tolerance, "atol": tolerance * float(expected.abs().max())}
    several = explain.attribute(images, [1, "margin", torch.tensor([1, 3])])
    assert several.shape == (2, 3, *expected.shape[1:])
    torch.testing.assert_close(several[:, 0], expected, **close)
    torch.testing.assert_close(several[:, 1], explain.attribute(images, 2), **close)
    torch.testing.assert_close(several[0, 2], expected[0], **close)
    torch.testing.assert_close(explain.attribute(images), expected, **close)  # malignancy
    torch.testing.assert_close(explain.attribute(images, "malignancy"), expected, **close)
    if callables:
        torch.testing.assert_close(explain.attribute(images, lambda outputs: outputs[:, 1]), expected, **close)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    torch.testing.assert_close(explain.attribute(images, 1), expected, **close)
    with torch.inference_mode():
        torch.testing.assert_close(explain.attribute(images.clone(), 1), expected, **close)
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = not module.fused_attn
    torch.testing.assert_close(explain.attribute(images, 1), expected, **close)
    assert explain.attribute(images, 1, size=(40, 30)).shape == (2, 40, 30)
    if method.class_specific:
        assert not torch.allclose(several[:, 0], several[:, 1])
    else:
        torch.testing.assert_close(several[:, 0], several[:, 1])


def naive_map(model, image, target, change, variant):
    """One image's CDAM after ``change`` was applied to the tokens before or after the last block's first norm."""
    vit = vit_of(model)
    block, kept = vit.blocks[-1], []

    def after_norm(module, inputs, output):
        kept.append(output if variant == "pre_norm" else change(output))
        return kept[-1]

    hooks = [block.norm1.register_forward_hook(after_norm)]
    if variant == "pre_norm":
        hooks.append(block.register_forward_pre_hook(lambda module, inputs: (change(inputs[0]), *inputs[1:])))
    try:
        value = model(image[None])[0, target]
    finally:
        for hook in hooks:
            hook.remove()
    gradient = torch.autograd.grad(value, kept[0])[0]
    return as_grid(model, (kept[0] * gradient).sum(dim=-1)[0])


@dataclass
class Record:
    """One image's pass through an unchanged model, by hooks, with plain (not fused) attention in the graph."""

    outputs: Tensor
    attention: list[Tensor]
    scores: list[Tensor]
    tokens: list[Tensor]
    middle: list[Tensor]
    normed: list[Tensor]


def record(model: nn.Module, image: Tensor, essential: bool = False) -> Record:
    """Run one image (C, H, W); ``essential`` detaches what enters every attention layer."""
    vit = vit_of(model)
    kept = Record(None, [], [], [], [], [])
    queries, hooks, fused = [], [], [block.attn.fused_attn for block in vit.blocks]
    for block in vit.blocks:
        attn = block.attn
        attn.fused_attn = False
        hooks += [
            block.register_forward_pre_hook(lambda module, inputs: kept.tokens.append(inputs[0])),
            block.norm1.register_forward_hook(lambda module, inputs, output: kept.normed.append(output)),
            block.norm2.register_forward_pre_hook(lambda module, inputs: kept.middle.append(inputs[0])),
            attn.attn_drop.register_forward_pre_hook(lambda module, inputs: kept.attention.append(inputs[0])),
            attn.q_norm.register_forward_hook(lambda module, inputs, output: queries.append(output)),
            attn.k_norm.register_forward_hook(
                lambda module, inputs, output: kept.scores.append(queries[-1] @ output.transpose(-2, -1))
            ),
        ]
        if essential:
            hooks.append(attn.register_forward_pre_hook(lambda module, inputs: (inputs[0].detach(), *inputs[1:])))
    hooks.append(vit.norm.register_forward_pre_hook(lambda module, inputs: kept.tokens.append(inputs[0])))
    try:
        kept.outputs = model(image[None])[0]
    finally:
        for hook in hooks:
            hook.remove()
        for block, flag in zip(vit.blocks, fused, strict=True):
            block.attn.fused_attn = flag
    kept.scores = [block.attn.scale * scores for block, scores in zip(vit.blocks, kept.scores, strict=True)]
    return kept


def query_row(model: nn.Module, matrix: Tensor) -> Tensor:
    """The row (n,) of (n, n) that a map is read from: class token, or mean over patches in a pooled model."""
    vit = vit_of(model)
    pooled = vit.global_pool == "avg" or getattr(model, "pool", "") == "class+mean"
    return matrix[vit.num_prefix_tokens :].mean(dim=0) if pooled else matrix[0]


def as_grid(model: nn.Module, per_token: Tensor) -> Tensor:
    """(n,) tokens to (h, w) patches; a token of four patches is shared out among them."""
    patches = per_token[vit_of(model).num_prefix_tokens :].detach()
    rows, columns = grid_of(model)
    if len(patches) == rows * columns:
        return patches.reshape(rows, columns)
    grid = torch.full((rows, columns), torch.nan).to(patches)
    waiting = iter(patches)
    for row in range(rows // 4, 3 * rows // 4):
        for column in range(columns // 4, 3 * columns // 4):
            grid[row, column] = next(waiting)
    for row in range(0, rows, 2):
        for column in range(0, columns, 2):
            if grid[row, column].isnan():
                grid[row : row + 2, column : column + 2] = next(waiting) / 4
    assert next(waiting, None) is None
    return grid


SINGLE = 1e-6  # captum keeps weights and sums in single precision


def assert_maps_equal(maps: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    """Equal to a share of the largest value, which is not 0."""
    scale = float(expected.abs().max())
    assert scale > 1e-12
    torch.testing.assert_close(maps, expected, rtol=tolerance, atol=tolerance * scale)
