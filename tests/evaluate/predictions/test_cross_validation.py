from dataclasses import replace

import numpy as np
import pytest
import torch

from ctxai.commands.benchmark import benchmark
from ctxai.commands.train import train
from ctxai.data.labels import SCALES
from ctxai.data.patches import Patches
from ctxai.data.settings import FoldConfig, ViewConfig
from ctxai.data.views import as_patches, render_own_views
from ctxai.errors import ModelError, RunError, StoreError
from ctxai.explain import CDAM
from ctxai.models.ensemble import EnsembleClassifier
from ctxai.models.settings import BackboneConfig, HeadsConfig, OptimConfig
from ctxai.run.explaining import MeanOverMembers
from ctxai.run.methods import make_method
from ctxai.run.run import Run
from ctxai.training.settings import Execution

from cohorts import sphere_store
from folders import contents

OPTIONS = {
    "views": ViewConfig(views=("axial",), pixels=16),
    "backbone": BackboneConfig(patch_size=4, depth=1, width=16, heads=2, stem=(4, 8)),
    "optim": OptimConfig(epochs=2, batch_size=8),
    "heads": HeadsConfig(readout="ordinal", outline=1.0),
    "folds": FoldConfig(test="all"),
    "execution": Execution(accelerator="cpu"),
    "half_precision": True,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sphere_store(tmp_path_factory.mktemp("folds") / "store", nodules=40, depth=1)


@pytest.fixture(scope="module")
def folder(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds") / "run"
    train(store.path, folder, **OPTIONS)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return Run.load(folder)


@pytest.fixture(scope="module")
def hu(store):
    return Patches(store, range(6))[range(6)]


def test_the_ensemble_has_one_network_for_every_fold_and_saw_every_patient(store, run):
    assert isinstance(run.model, EnsembleClassifier) and len(run.model.members) == run.provenance["members"] == 5
    assert set(run.provenance["patients"]["training"]) == set(store.table["patient_id"])
    assert run.in_sample(str(store.table["patient_id"].iloc[0]))


def test_its_figures_pool_what_every_network_made_of_its_own_test_fold(store, run):
    assert sorted(run.predictions["nodule_id"]) == sorted(store.table["nodule_id"])
    assert run.metrics["test"]["malignancy"]["nodules"] == 40
    assert run.calibration.counts["malignancy"] == 40


def test_its_outputs_are_the_mean_over_networks_that_get_images_of_their_own_statistics(run, hu):
    found = run.predict(hu)
    logits = []
    for member, (mean, std) in zip(run.model.members, run.model.statistics[1:].tolist(), strict=True):
        views = ViewConfig(views=("axial",), pixels=16, mean=mean, std=std)
        own = Run("member", run.config, member.eval(), run.calibration, run.provenance)
        own.config = type(run.config)(views=views)
        logits.append(own.outputs(hu)[:, 0].numpy())
    np.testing.assert_allclose(found["malignancy_logit"], np.mean(logits, axis=0), atol=1e-4)


def test_the_spread_over_its_networks_is_told_of_every_target(run, hu):
    images = render_own_views(as_patches(hu), run.views)  # (nodule, image, channel, row, column)
    values = []
    with torch.inference_mode():
        for member, own in run.model.each(images.flatten(0, 1)):
            values.append(member.to_units(member(own).unflatten(0, images.shape[:2]).mean(1)).numpy())
    found = run.predict(hu)
    for place, name in enumerate(run.target_names):
        expected = np.std(np.clip(values, *SCALES[name])[:, :, place], axis=0, ddof=1)
        np.testing.assert_allclose(found[f"{name}_spread"], expected, atol=1e-4)
    assert found["malignancy_spread"].min() > 1e-3
    assert run.predict(hu[:0])["texture_spread"].empty
    alone = replace(run, model=run.model.members[0])
    assert not [name for name in alone.predict(hu) if name.endswith("_spread")]


def test_mean_and_spread_come_from_one_pass_of_each_network(run, hu):
    passed = [0] * len(run.model.members)

    def counting(place):
        def count(module, inputs, output):
            passed[place] += 1

        return count

    hooks = [one.backbone.register_forward_hook(counting(place)) for place, one in enumerate(run.model.members)]
    try:
        run.predict(hu)
    finally:
        for hook in hooks:
            hook.remove()
    assert passed == [run.views.turns] * len(passed)


def test_it_has_no_test_fold_to_benchmark_on(store, folder, tmp_path):
    with pytest.raises(StoreError, match="no test fold of its own; give the run of one fold"):
        benchmark(folder, store.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_units_are_those_of_the_members(run, hu):
    outputs = torch.randn(3, len(run.target_names))
    expected = []
    for member in run.model.members:
        chosen = member.biomarker_columns
        own = outputs.clone()
        units = outputs[:, 1:] * run.model.biomarker_std[chosen] + run.model.biomarker_mean[chosen]
        own[:, 1:] = (units - member.biomarker_mean[chosen]) / member.biomarker_std[chosen]
        expected.append(member.to_units(own))
    torch.testing.assert_close(run.model.to_units(outputs), torch.stack(expected).mean(0))


def test_its_maps_are_the_mean_of_the_networks_maps(run):
    images = torch.randn(2, 3, 16, 16)
    with pytest.raises(ModelError, match="found 5"):
        CDAM(run.model)
    method = make_method(run, "cdam")
    assert isinstance(method, MeanOverMembers) and method.name == "cdam" and method.options["members"] == 5
    own = [CDAM(member).attribute(seen, "malignancy") for member, seen in run.model.each(images)]
    torch.testing.assert_close(method.attribute(images, "malignancy"), torch.stack(own).mean(0))
    assert method.attribute(images, ["malignancy", "texture"]).shape == (2, 2, 4, 4)


def test_it_is_kept_when_the_same_command_is_given_again(store, folder):
    before = contents(folder)
    train(store.path, folder, **OPTIONS)
    assert contents(folder) == before
    with pytest.raises(RunError, match="other options"):
        train(store.path, folder, **OPTIONS | {"seed": 7})


def test_two_folds_make_no_ensemble(tmp_path):
    few = sphere_store(tmp_path / "few", nodules=8, depth=1)
    table = few.table
    table["fold"] = table["fold"] % 2
    few.write_table(table)
    with pytest.raises(StoreError, match="three or more"):
        train(few.path, tmp_path / "run", **OPTIONS)


def test_the_checkpoint_of_an_interrupted_training_is_not_lost_by_a_changed_option(store, tmp_path):
    left = tmp_path / ".run.folds" / ".fold0.training" / "0123456789ab" / "last.ckpt"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"a day of work")
    with pytest.raises(RunError, match="an interrupted training of other options or of another store"):
        train(store.path, tmp_path / "run", **OPTIONS)
    assert left.exists()
