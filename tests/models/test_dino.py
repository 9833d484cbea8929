import subprocess
import sys

import numpy as np
import pytest
import torch

from ctxai.data.multicrop import MultiCropDataModule
from ctxai.data.settings import MultiCropConfig, ViewConfig
from ctxai.errors import ModelError
from ctxai.models.dino import Dino
from ctxai.models.settings import BackboneConfig, DinoConfig
from ctxai.training.settings import Execution
from ctxai.training.trainer import fit_dino

from interrupted import StopAfter

VIEWS = ViewConfig(views=("axial",), pixels=16)
BACKBONE = BackboneConfig(depth=1, drop_path_rate=0.0)
QUICK = {"batch_size": 4, "head_width": 16, "bottleneck": 8, "prototypes": 32}


@pytest.fixture(scope="module")
def patches():
    generator = np.random.default_rng(0)
    return torch.from_numpy(generator.normal(-500, 300, (16, 1, 64, 64)).astype(np.int16))


def data(patches, views=VIEWS):
    return MultiCropDataModule(patches, views, MultiCropConfig(), batch_size=4)


def fresh(**options):
    torch.manual_seed(0)
    return Dino(BACKBONE, 16, DinoConfig(**(QUICK | {"epochs": 3} | options)))


def trained(patches, folder, **options):
    return fit_dino(fresh(**options), data(patches), folder, execution=Execution(accelerator="cpu"))


def assert_equal_weights(a, b):
    for (name, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert torch.equal(x, y), name


def test_the_teacher_begins_as_the_student_and_learns_by_no_gradient():
    model = fresh()
    assert_equal_weights(model.teacher, model.student)
    assert_equal_weights(model.teacher_head, model.student_head)
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


def test_the_loss_is_the_cross_entropy_between_crops_of_the_same_patch():
    """Against a plain double loop over crops: every student crop against every other global crop of its patch."""
    model = fresh()
    model.trainer = type("Trainer", (), {"global_step": 0, "estimated_stepping_batches": 10})()
    generator = torch.Generator().manual_seed(1)
    whole, local = (torch.randn(count * 2, 3, side, side, generator=generator) for count, side in ((2, 16), (4, 8)))
    loss = model.training_step((whole, local), 0)
    with torch.no_grad():
        learnt = torch.cat([model.student_head(model.student(images)) for images in (whole, local)])
        taught = model.teacher_head(model.teacher(whole))
    shares = torch.softmax(taught / 0.04, -1)  # the centre is still 0
    terms = [
        -(shares[teacher * 2 + patch] * torch.log_softmax(learnt[student * 2 + patch] / 0.1, -1)).sum()
        for teacher in range(2)
        for student in range(6)
        for patch in range(2)
        if student != teacher
    ]
    torch.testing.assert_close(loss, torch.stack(terms).mean())


def test_the_teacher_follows_the_student_by_its_momentum(patches, tmp_path):
    still = trained(patches, tmp_path / "still", epochs=1, momentum=1.0)
    assert_equal_weights(still.teacher, fresh().student)
    moved = trained(patches, tmp_path / "moved", epochs=1, momentum=0.0)
    first, last = (model.teacher.blocks[0].attn.qkv.weight for model in (still, moved))
    assert not torch.equal(first, still.student.blocks[0].attn.qkv.weight)
    assert (last - moved.student.blocks[0].attn.qkv.weight).abs().max() < (last - first).abs().max()


def test_the_last_layer_is_kept_for_the_first_epochs(patches, tmp_path):
    frozen = trained(
        patches, tmp_path / "frozen", epochs=2, freeze_last_layer_epochs=2, weight_decay=0.0, final_weight_decay=0.0
    )
    free = trained(
        patches, tmp_path / "free", epochs=2, freeze_last_layer_epochs=0, weight_decay=0.0, final_weight_decay=0.0
    )
    begin = fresh().student_head.last_layer.weight_v
    assert torch.equal(frozen.student_head.last_layer.weight_v, begin)
    assert not torch.equal(free.student_head.last_layer.weight_v, begin)


def test_temperature_learning_rate_and_decay_follow_their_schedules(patches, tmp_path):
    model, seen = fresh(epochs=5, warmup_fraction=0.2, temperature_warmup_fraction=0.5), []
    step = model.training_step

    def spy(batch, batch_idx):
        group = model.optimizers().param_groups[0]
        seen.append((group["lr"], group["weight_decay"], model._temperature()))
        return step(batch, batch_idx)

    model.training_step = spy
    fit_dino(model, data(patches), tmp_path, execution=Execution(accelerator="cpu"))
    rates, decays, temperatures = np.array(seen).T
    assert len(rates) == 20
    np.testing.assert_allclose(rates[:4], model.optim.learning_rate * np.arange(1, 5) / 4)
    assert (np.diff(rates[4:]) < 0).all() and rates[-1] == pytest.approx(model.optim.final_learning_rate)
    assert (np.diff(decays) > 0).all()
    assert decays[[0, -1]] == pytest.approx([model.optim.weight_decay, model.optim.final_weight_decay])
    np.testing.assert_allclose(temperatures[[0, 5, 10, 19]], [0.04, 0.05, 0.06, 0.06])


def test_the_same_seed_gives_the_same_weights_also_after_a_kill(patches, tmp_path):
    options = {"token_drop": 0.5}
    whole = trained(patches, tmp_path / "whole", **options)
    fit_dino(
        fresh(**options),
        data(patches),
        tmp_path / "cut",
        execution=Execution(accelerator="cpu"),
        callbacks=[StopAfter(1)],
    )
    resumed = fit_dino(fresh(**options), data(patches), tmp_path / "cut", execution=Execution(accelerator="cpu"))
    assert_equal_weights(resumed, whole)
    assert resumed.history == whole.history and len(whole.history) == 3


def test_tokens_are_dropped_for_the_student_alone(patches, tmp_path):
    plain, dropping = (trained(patches, tmp_path / str(drop), epochs=1, token_drop=drop) for drop in (0.0, 0.5))
    assert not torch.equal(plain.student.norm.weight, dropping.student.norm.weight)
    assert not hasattr(dropping.teacher.patch_drop, "prob")


def test_the_history_tells_a_collapse_from_none(patches, tmp_path):
    history = trained(patches, tmp_path, epochs=1).history
    assert set(history[0]) == {"loss", "teacher_entropy", "feature_spread"}
    assert 0 < history[0]["teacher_entropy"] < np.log(32) and history[0]["feature_spread"] > 0.01
    model = fresh(epochs=1)
    for parameter in model.teacher.parameters():
        parameter.data.zero_()
    model.teacher.norm.bias.data.fill_(1.0)  # every image has the same feature
    model.optim = DinoConfig(**QUICK, epochs=1, momentum=1.0)
    collapsed = fit_dino(model, data(patches), tmp_path / "collapsed", execution=Execution(accelerator="cpu")).history
    assert collapsed[0]["feature_spread"] < 1e-6


def test_a_diverging_training_ends_with_a_clear_line(patches, tmp_path):
    model = fresh()
    model.student.norm.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match=r"pretraining diverged: .* in epoch 0; lower optim\.learning_rate"):
        fit_dino(model, data(patches), tmp_path, execution=Execution(accelerator="cpu"))


def test_lightly_asks_no_server_when_it_is_imported():
    program = """
import socket, time

def refuse(*arguments, **options):
    raise SystemExit("the network was used")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
import ctxai.models.dino, threading, sys
assert [thread.name for thread in threading.enumerate() if not thread.daemon] == ["MainThread"]
assert "lightly.api" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
