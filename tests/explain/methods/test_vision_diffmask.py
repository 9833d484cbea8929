"""Vision DiffMask, on models of known answers and on its authors' coloured patches."""

import math

import pytest
import timm
import torch
from sklearn.metrics import roc_auc_score
from tiny_vits import TINY, as_grid, grid_of, make_images, make_model, record, state_of
from torch.nn import functional as F

from ctxai.errors import InputError, ModelError
from ctxai.explain import RandomMap, VisionDiffMask
from ctxai.explain.diffmask.settings import DiffMaskSettings

QUICK = DiffMaskSettings(learning_rate=1e-2, warmup_steps=1, offset=1.0)


@pytest.fixture(scope="module")
def trained():
    model = make_model("classifier")
    return VisionDiffMask(model).fit([make_images(model)] * 3, settings=QUICK)


def naive_votes(method, image):
    """Log-probability (state, n) that every gate is open, written from the equations."""
    own = record(method.model, image)
    vit = method.model.backbone
    patches = vit.patch_embed((image[None] - 0.1) / 0.9)[0]
    states = [torch.cat([vit.cls_token[0], patches]), *(tokens[0] for tokens in own.tokens)]
    votes = []
    for layer, state, offset in zip(method.gates.layers, states, method.gates.offsets, strict=True):
        hidden = torch.tanh(F.linear(torch.cat([states[0], state], dim=1), layer[0].weight, layer[0].bias))
        logit = 15 * torch.tanh(F.linear(hidden, layer[2].weight, layer[2].bias))[:, 0] + offset
        votes.append(torch.sigmoid(logit - 0.2 * math.log(0.2)).log())
    return torch.stack(votes)


def test_map_is_the_probability_that_all_gates_are_open(trained):
    images = make_images(trained.model)
    votes = [naive_votes(trained, image) for image in images]
    expected = torch.stack([as_grid(trained.model.backbone, vote.sum(dim=0).exp()) for vote in votes])
    torch.testing.assert_close(trained.attribute(images, "malignancy"), expected)


@pytest.mark.parametrize("layer", [0, 2, -1])
@pytest.mark.parametrize("aggregated", [True, False])
def test_layer_and_aggregation_choose_the_gates_that_count(trained, layer, aggregated, tmp_path):
    trained.save(tmp_path / "gates.safetensors")
    method = VisionDiffMask(trained.model, tmp_path / "gates.safetensors", layer, aggregated)
    images = make_images(trained.model, 1)
    votes = naive_votes(trained, images[0])[: range(5)[layer] + 1]
    expected = as_grid(trained.model.backbone, (votes.sum(dim=0) if aggregated else votes[-1]).exp())
    torch.testing.assert_close(method.attribute(images)[0], expected)


def test_maps_keep_the_contract(trained):
    images = make_images(trained.model, 3)
    before = state_of(trained.model)
    maps = trained.attribute(images, [0, "margin"])
    assert maps.shape == (3, 2, *grid_of(trained.model))
    assert not maps.requires_grad
    torch.testing.assert_close(maps[:, 0], maps[:, 1])
    torch.testing.assert_close(maps[:, 0], torch.cat([trained.attribute(image[None]) for image in images]))
    with torch.inference_mode():
        torch.testing.assert_close(trained.attribute(images.clone()), maps[:, 0])
    assert trained.attribute(images, size=(9, 7)).shape == (3, 9, 7)
    assert state_of(trained.model) == before


@pytest.mark.parametrize("kind", ["wide grid", "registers", "distilled", "rotary", "pooled", "no class token"])
def test_gates_are_trained_for_every_kind_of_model(kind):
    model = make_model(kind)
    images = make_images(model)
    method = VisionDiffMask(model).fit([(images, None)], settings=QUICK)
    assert method.attribute(images).shape == (2, *grid_of(model))


def test_a_gate_is_the_same_over_all_the_cells_of_its_token():
    model = make_model("two sizes of tokens")
    images = make_images(model)
    method = VisionDiffMask(model).fit([(images, None)], settings=QUICK)
    own = record(model, images[0])
    states = [torch.cat([model.cls_token[0], model.patch_embed(images[:1])[0]]), *(one[0] for one in own.tokens)]
    expected = as_grid(model, method.gates.log_open([state[None] for state in states])[:, 0].sum(dim=0).exp())
    expected[2:6, 2:6] /= 4
    torch.testing.assert_close(method.attribute(images)[0], 4 * expected)


def test_same_seed_trains_the_same_gates():
    model = make_model("vit")
    images = make_images(model)
    state = torch.random.get_rng_state()
    maps = [VisionDiffMask(model).fit([images] * 2, 2, QUICK, seed).attribute(images) for seed in (1, 1, 2)]
    assert torch.equal(maps[0], maps[1])
    assert not torch.allclose(maps[0], maps[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_untrained_gates_explain_nothing(tmp_path):
    model = make_model("vit")
    with pytest.raises(InputError, match="call fit"):
        VisionDiffMask(model).attribute(make_images(model))
    with pytest.raises(InputError, match="call fit"):
        VisionDiffMask(model).save(tmp_path / "gates.safetensors")


def test_checkpoints_that_do_not_fit_are_refused(trained, tmp_path):
    path = tmp_path / "gates.safetensors"
    with pytest.raises(InputError, match="expected gates"):
        VisionDiffMask(trained.model, path)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="expected gates"):
        VisionDiffMask(trained.model, path)
    trained.save(path)
    shallow = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, **{**TINY, "depth": 1})
    with pytest.raises(ModelError, match="3 hidden states"):
        VisionDiffMask(shallow, path)


@pytest.mark.parametrize("layer", [5, -6])
def test_a_layer_that_does_not_exist_is_refused(layer):
    with pytest.raises(InputError, match="layer"):
        VisionDiffMask(make_model("vit"), layer=layer)


# The authors' task: grids of coloured patches, to be classified by how many of them are red. What determines the
# answer is known: a faithful mask keeps the red patches, and can hide the others.

COLOURS = torch.tensor([[index >> 2 & 1, index >> 1 & 1, index & 1] for index in range(1, 7)]).float()
RED = 3


def coloured_grids(count, seed):
    """Images (N, 3, 48, 48) of 3 x 3 patches, how many are red, and which."""
    generator = torch.Generator().manual_seed(seed)
    reds = torch.randint(0, 10, (count,), generator=generator)
    others = torch.tensor([0, 1, 2, 4, 5])[torch.randint(0, 5, (count, 9), generator=generator)]
    red = torch.rand(count, 9, generator=generator).argsort(dim=1) < reds[:, None]
    colours = COLOURS[torch.where(red, RED, others)] + 0.05 * torch.randn(count, 9, 3, generator=generator)
    patches = colours.reshape(count, 3, 3, 3).movedim(-1, 1).repeat_interleave(16, 2).repeat_interleave(16, 3)
    return patches * 2 - 1, reds, red.reshape(count, 3, 3)


def test_the_learned_mask_keeps_the_red_patches_that_are_counted():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"img_size": 48, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 10}
        model = timm.create_model("vit_tiny_patch16_224", **options)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, 400)
        for step in range(400):
            images, reds, _ = coloured_grids(64, step)
            loss = F.cross_entropy(model(images), reds)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            falling.step()
    images, reds, red = coloured_grids(300, seed=10_000)
    assert (model.eval()(images).argmax(dim=1) == reds).float().mean() > 0.98
    settings = DiffMaskSettings(learning_rate=1e-3, placeholder_rate=1e-2, warmup_steps=50, scale=10.0, offset=5.0)
    batches = [coloured_grids(32, 1000 + step)[0] for step in range(500)]
    method = VisionDiffMask(model).fit(batches, settings=settings)
    assert roc_auc_score(red.flatten(), method.attribute(images).flatten()) >= 0.95
    assert 0.45 < roc_auc_score(red.flatten(), RandomMap(model).attribute(images).flatten()) < 0.55
    last = method.training_steps[-100:]
    assert sum(step.divergence for step in last) / len(last) < 0.3
