import pickle

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from scipy.stats import spearmanr

from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.outline_features import OUTLINE_FEATURES
from ctxai.data.settings import AugmentConfig, EraseConfig, FoldConfig, ViewConfig
from ctxai.errors import InputError, ModelError, RunError
from ctxai.explain import get_method
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.settings import BackboneConfig, HeadsConfig, OptimConfig, TuneConfig
from ctxai.run.config import RunConfig
from ctxai.training.settings import ComputeConfig, Execution
from ctxai.training.trainer import CHECKPOINT, fit

from cohorts import sphere_store
from dropped_interrupt import interrupt_in_destructor
from interrupted import StopAfter


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sphere_store(tmp_path_factory.mktemp("flat") / "store", nodules=40, depth=1)


VIEWS = ViewConfig(views=("axial",), pixels=16)


def prepare(store, drop_path_rate=0.1, parts=1, label="soft", tune=None, compiled=False, **optim):
    data = NoduleDataModule(store.path, VIEWS, AugmentConfig(), FoldConfig(), label, batch_size=8, parts=parts)
    torch.manual_seed(0)
    model = NoduleClassifier(
        BackboneConfig(depth=2, drop_path_rate=drop_path_rate),
        16,
        OptimConfig(**({"epochs": 2, "batch_size": 8} | optim)),
        label=label,
        tune=tune,
        compiled=compiled,
    )
    model.fit_scaler(data.targets[data.split.training])
    return model, data


FULL = ComputeConfig()


def trained(store, folder, compute=FULL, **options):
    """The model after a short training."""
    model, data = prepare(store, parts=compute.accumulate, **options)
    return fit(model, data, folder, execution=Execution(accelerator="cpu"), compute=compute)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_learns_what_separates_the_spheres(store, tmp_path):
    model, data = prepare(store, epochs=15, learning_rate=2e-3)
    fit(model, data, tmp_path, execution=Execution(accelerator="cpu"))
    assert len(model.epoch_losses) == 15
    assert np.mean(model.epoch_losses[-3:]) < 0.8 * model.epoch_losses[0]
    assert not model.training


def test_the_same_seed_gives_the_same_weights(store, tmp_path):
    first = fit(*prepare(store), tmp_path / "a", execution=Execution(accelerator="cpu"))
    second = fit(*prepare(store), tmp_path / "b", execution=Execution(accelerator="cpu"))
    other = fit(*prepare(store), tmp_path / "c", seed=1, execution=Execution(accelerator="cpu"))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))  # dropout differs


@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_training_ends_with_the_weights_of_an_uninterrupted_one(store, tmp_path, stop):
    whole = fit(*prepare(store, epochs=4), tmp_path / "whole", execution=Execution(accelerator="cpu"))
    fit(
        *prepare(store, epochs=4), tmp_path / "cut", execution=Execution(accelerator="cpu"), callbacks=[StopAfter(stop)]
    )
    resumed = fit(*prepare(store, epochs=4), tmp_path / "cut", execution=Execution(accelerator="cpu"))
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.epoch_losses == whole.epoch_losses


def test_an_interrupt_that_python_drops_ends_the_training(store, tmp_path, interruptible):
    class InterruptedOnce(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                interrupt_in_destructor()

    with pytest.raises(KeyboardInterrupt, match=r"at its beginning|step \d+"):
        fit(*prepare(store, epochs=4), tmp_path, execution=Execution(accelerator="cpu"), callbacks=[InterruptedOnce()])


def test_the_resume_checkpoint_holds_nothing_but_plain_values(store, tmp_path):
    fit(*prepare(store), tmp_path, execution=Execution(accelerator="cpu"), callbacks=[StopAfter(1)])
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert state["epoch"] == 0


def test_a_checkpoint_that_would_run_code_is_refused(store, tmp_path):
    class Payload:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    with (tmp_path / CHECKPOINT).open("wb") as file:
        pickle.dump(Payload(), file, protocol=2)
    with pytest.raises(RunError, match=r"last\.ckpt: cannot be resumed"):
        fit(*prepare(store), tmp_path, execution=Execution(accelerator="cpu"))


def test_soft_labels_are_not_hard_ones(store, tmp_path):
    soft = trained(store, tmp_path / "a")
    hard = trained(store, tmp_path / "b", label="hard")
    assert not torch.equal(weights(soft), weights(hard))


@pytest.mark.parametrize(
    ("tune", "blocks"),
    [({"blocks": 0}, set()), ({"blocks": 1}, {"1"}), ({"lora_rank": 2}, {"0", "1"}), ({}, {"0", "1"})],
    ids=["linear probe", "last block", "LoRA", "everything"],
)
def test_what_is_frozen_stays_and_what_is_not_learns(store, tmp_path, tune, blocks):
    model = trained(store, tmp_path, tune=TuneConfig(**tune))
    start = prepare(store)[0].state_dict()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    assert {name.split(".")[2] for name in moved if name.startswith("backbone.blocks")} == blocks
    assert "heads.malignancy.weight" in moved
    assert ("backbone.patch_embed.proj.weight" in moved) == (tune == {})
    assert any(".mlp." in name for name in moved) == (tune in ({}, {"blocks": 1}))


def test_adapters_end_as_an_update_of_low_rank_in_plain_weights(store, tmp_path):
    model, start = trained(store, tmp_path, tune=TuneConfig(lora_rank=2)), prepare(store)[0].state_dict()
    assert list(model.state_dict()) == list(start)
    name = "backbone.blocks.0.attn.qkv.weight"
    singular = torch.linalg.svdvals(model.state_dict()[name] - start[name])
    assert singular[1] > 1e-5 and float(singular[2]) < 1e-3 * float(singular[0])


def test_layer_decay_slows_the_lower_layers(store, tmp_path):
    start = prepare(store)[0].state_dict()

    def moved(folder, decay):
        after = trained(store, folder, tune=TuneConfig(layer_decay=decay)).state_dict()
        names = ("backbone.patch_embed.proj.weight", "heads.malignancy.weight")
        return [float((after[name] - start[name]).norm()) for name in names]

    plain, decayed = moved(tmp_path / "a", 1.0), moved(tmp_path / "b", 0.3)
    assert decayed[0] < 0.2 * plain[0]
    assert decayed[1] > 0.5 * plain[1]


def test_accumulated_parts_make_the_same_steps(store, tmp_path):
    whole = trained(store, tmp_path / "a", drop_path_rate=0.0)
    sizes = []
    model, data = prepare(store, drop_path_rate=0.0, parts=2)
    model.backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    halves = fit(
        model, data, tmp_path / "b", execution=Execution(accelerator="cpu"), compute=ComputeConfig(accumulate=2)
    )
    assert set(sizes) == {4}
    torch.testing.assert_close(weights(halves), weights(whole), rtol=0, atol=1e-4)
    assert float((weights(whole) - weights(prepare(store)[0])).abs().max()) > 1e-3
    np.testing.assert_allclose(halves.epoch_losses, whole.epoch_losses, rtol=1e-4)


def test_bf16_rounds_the_products_and_leaves_the_weights_single(store, tmp_path):
    single = trained(store, tmp_path / "a")
    rounded = trained(store, tmp_path / "b", compute=ComputeConfig(precision="bf16"))
    assert {parameter.dtype for parameter in rounded.parameters()} == {torch.float32}
    assert not torch.equal(weights(rounded), weights(single))
    np.testing.assert_allclose(rounded.epoch_losses, single.epoch_losses, rtol=0.05)


def test_fp16_without_a_gpu_is_refused(store, tmp_path):
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        trained(store, tmp_path, compute=ComputeConfig(precision="fp16"))


def test_compilation_is_used_once_and_changes_no_result(store, tmp_path, monkeypatch):
    compiled, real = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or real(module, backend="eager"))
    plain = trained(store, tmp_path / "a", epochs=1)
    assert not compiled
    fast = trained(store, tmp_path / "b", epochs=1, compiled=True)
    assert len(compiled) == 1
    torch.testing.assert_close(weights(fast), weights(plain), rtol=0, atol=1e-4)


def test_training_stops_early_and_keeps_the_weights_that_did_best(store, tmp_path):
    model, data = prepare(store, epochs=200, patience=2, learning_rate=5e-3)
    fit(model, data, tmp_path, execution=Execution(accelerator="cpu"))
    assert len(model.epoch_losses) < 200
    with torch.inference_mode():
        (images, targets), *rest = data.val_dataloader()
        assert not rest
        loss = float(model._loss(model(images), targets))
    assert loss == pytest.approx(float(model.trainer.early_stopping_callback.best_score), rel=1e-4)


def test_without_patience_no_held_out_nodule_is_looked_at(store, tmp_path):
    model, data = prepare(store, epochs=1)
    data.val_dataloader = lambda: pytest.fail("validation images were asked for")
    fit(model, data, tmp_path, execution=Execution(accelerator="cpu"))


def test_the_final_weights_are_the_average_unless_switched_off(store, tmp_path):
    averaged = fit(*prepare(store, ema_decay=0.9), tmp_path / "a", execution=Execution(accelerator="cpu"))
    last = fit(*prepare(store, ema_decay=0.0), tmp_path / "b", execution=Execution(accelerator="cpu"))
    assert averaged.epoch_losses == last.epoch_losses  # averaging does not touch the training itself
    assert not torch.equal(weights(averaged), weights(last))


def ordinal(store, folder, compute=FULL, seed=0):
    """A run's model with every auxiliary head, after a short training."""
    config = RunConfig(
        views=VIEWS,
        backbone=BackboneConfig(patch_size=4, depth=1, width=16, heads=2, stem=(4, 8)),
        optim=OptimConfig(epochs=25, batch_size=8, learning_rate=5e-3),
        heads=HeadsConfig(readout="ordinal", soft=1.0, rank=1.0, outline=1.0, features=1.0),
        augment=AugmentConfig(far_shift_mm=4.0, far_share=0.5, erase=EraseConfig(share=0.5)),
        compute=compute,
    )
    data = config.make_data(store.path)
    torch.manual_seed(seed)
    model = config.make_model()
    model.fit_scaler(data.targets[data.split.training])
    return fit(model, data, folder, seed=seed, execution=Execution(accelerator="cpu"), compute=compute), data


def test_ordinal_heads_and_the_outline_are_learnt_behind_a_stem(store, tmp_path):
    model, data = ordinal(store, tmp_path)
    (images, targets), *_ = data.val_dataloader()
    with torch.inference_mode():
        logits = model(images)[:, 0]
    assert logits[targets[:, 0] > 0.5].min() > logits[targets[:, 0] < 0.5].max()
    inside = data.store.agreement(int(data.split.validation[0]))[0, 24:40, 24:40] > 0
    found = model.outline(images[:1])[0].repeat_interleave(2, 0).repeat_interleave(2, 1)  # 4 to 2 mm
    inside = torch.from_numpy(inside).float()
    whole = torch.nn.functional.adaptive_avg_pool2d(inside[None], found.shape)[0]
    assert found[whole > 0.9].mean() > found[whole < 0.1].mean() + 0.2
    scores = model.auxiliary.features(model.backbone(images)).detach()[:, OUTLINE_FEATURES.index("major_axis_mm")]
    diameters = data.table["diameter_mm"].to_numpy()[data.split.validation[: len(images)]]
    assert spearmanr(scores, diameters).statistic > 0.5
    model.fit_rating_scale([images])
    units = model.to_units(model(images))[:, 0]
    expected = 1 + model.heads.read(model.heads.trunk(model.backbone(images)))[1].sigmoid().sum(1)
    assert (units - expected).detach().abs().max() < 0.25  # the expected rating, from one output


def test_a_hybrid_of_timm_learns_and_is_explained(store, tmp_path):
    hybrid = BackboneConfig("vit_tiny_r_s16_p8_224", patch_size=4, depth=2, width=16, heads=2)
    config = RunConfig(views=VIEWS, backbone=hybrid, optim=OptimConfig(epochs=1, batch_size=8))
    data, model = config.make_data(store.path), config.make_model()
    stem = model.backbone.patch_embed.backbone.conv.weight
    before = stem.detach().clone()
    fit(model, data, tmp_path, execution=Execution(accelerator="cpu"))
    assert not torch.equal(before, stem)
    (images, _), *_ = data.val_dataloader()
    for name in ("cdam", "path_gradients"):
        maps = get_method(name)(model).attribute(images[:2], "malignancy")
        assert maps.isfinite().all() and maps.flatten(1).std(1).min() > 0


def test_the_same_seed_gives_the_same_weights_of_a_stem_in_bf16(store, tmp_path):
    compute = ComputeConfig(precision="bf16", channels_last=True)
    first, second = (ordinal(store, tmp_path / name, compute)[0] for name in "ab")
    assert torch.equal(weights(first), weights(second))
    assert all(block.attn.fused_attn for block in first.backbone.blocks)


def test_monitored_patients_are_measured_every_epoch_and_not_learnt_from(store, tmp_path):
    folds = FoldConfig(monitor=0.3)
    data = NoduleDataModule(store.path, VIEWS, AugmentConfig(), folds, batch_size=8)
    patients = data.table["patient_id"].to_numpy()
    monitored, learnt = set(patients[data.split.monitor]), set(patients[data.split.training])
    assert monitored and not monitored & learnt
    assert monitored | learnt == set(
        patients[NoduleDataModule(store.path, VIEWS, AugmentConfig(), FoldConfig()).split.training]
    )
    model, _ = prepare(store, epochs=3)
    fit(model, data, tmp_path, execution=Execution(accelerator="cpu"))
    assert len(model.epoch_validation) == 3
    assert all(np.isfinite(figures["loss"]) and 0 <= figures["auc"] <= 1 for figures in model.epoch_validation)


def test_a_resumed_training_remembers_what_was_monitored(store, tmp_path):
    def monitored(folder, **options):
        model, _ = prepare(store, epochs=3)
        data = NoduleDataModule(store.path, VIEWS, AugmentConfig(), FoldConfig(monitor=0.3), batch_size=8)
        return fit(model, data, folder, execution=Execution(accelerator="cpu"), **options).epoch_validation

    whole = monitored(tmp_path / "whole")
    monitored(tmp_path / "cut", callbacks=[StopAfter(2)])
    assert monitored(tmp_path / "cut") == whole


def test_a_checkpoint_opens_as_the_classifier_that_wrote_it(store, tmp_path):
    fit(
        *prepare(store, tune=TuneConfig(blocks=1)),
        tmp_path,
        execution=Execution(accelerator="cpu"),
        callbacks=[StopAfter(1)],
    )
    model = NoduleClassifier.load_from_checkpoint(tmp_path / CHECKPOINT)
    assert model.optim.epochs == 2 and model.tune.blocks == 1 and not model.training
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with pytest.raises(ModelError, match="no checkpoint of a classifier"):
        NoduleClassifier.load_from_checkpoint(store.path / "layout.json")


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
def test_any_trainer_predicts_and_tests(store):
    model, data = prepare(store)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.test(model, data, verbose=False)
    assert np.isfinite(float(trainer.callback_metrics["test_loss"]))
    predicted = torch.cat(trainer.predict(model, data))
    assert predicted.shape == (len(data.split.test), 9)
    assert ((predicted[:, 0] >= 1) & (predicted[:, 0] <= 5)).all()
