import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from ctxai.data.labels import TARGETS
from ctxai.data.settings import VIEWS, ViewConfig
from ctxai.data.views import render_views
from ctxai.errors import InputError, RunError
from ctxai.files import sha256
from ctxai.models.settings import BackboneConfig, HeadsConfig
from ctxai.run.config import RunConfig
from ctxai.run.files import file_checksums, refuse_edited
from ctxai.run.methods import make_method
from ctxai.run.run import Run
from ctxai.run.weights import round_weights

from folders import contents

FILES = {
    "config.yaml",
    "weights.safetensors",
    "calibration.json",
    "metrics.json",
    "predictions.csv",
    "provenance.json",
    "model_card.md",
    "written.json",
    "plots",
}


@pytest.fixture
def hu():
    return np.random.default_rng(0).integers(-1000, 400, (3, 32, 32, 32)).astype(np.int16)


def test_a_saved_run_has_exactly_the_agreed_files(run_dir):
    assert {path.name for path in run_dir.iterdir()} == FILES
    assert [path.name for path in run_dir.parent.iterdir()] == ["untrained"]


def test_a_loaded_run_predicts_the_same(make_run, run_dir, hu):
    loaded = Run.load(run_dir)
    pd.testing.assert_frame_equal(loaded.predict(hu), make_run().predict(hu), check_exact=True)
    assert loaded.config == make_run().config
    assert not loaded.model.training
    assert loaded.weights_sha256 == sha256(run_dir / "weights.safetensors") == loaded.provenance["weights_sha256"]


def test_a_run_with_two_sizes_of_tokens_is_saved_loaded_predicts_and_is_explained(make_run, tmp_path, hu):
    backbone = BackboneConfig(patch_size=4, depth=1, width=16, heads=2, stem=(4, 8), coarse_margin=True)
    options = {"views": ViewConfig(pixels=32, recentre_mm=8, turns=8), "heads": HeadsConfig(outline=1.0)}
    made = make_run(backbone=backbone, **options)
    made.save(tmp_path / "mixed")
    run = Run.load(tmp_path / "mixed")
    pd.testing.assert_frame_equal(run.predict_marked(hu), made.predict_marked(hu), check_exact=True)
    images = render_views(hu[0], "axial", (0.0,), run.views)
    maps = make_method(run, "cdam").attribute(images, ["malignancy", "margin"])
    assert maps.shape == (1, 2, 8, 8)
    cells = maps[0, 0]
    assert cells[0, 0] == cells[1, 1] != cells[0, 2] and cells[2, 2] != cells[3, 3]


def test_predictions_are_the_mean_output_over_views_and_slices(make_run, hu):
    run = make_run(views=ViewConfig(pixels=16, slice_offsets_mm=(-2.0, 3.0)))
    with torch.no_grad():
        images = torch.cat([render_views(hu[1], view, (-2.0, 3.0), run.views) for view in VIEWS])
        expected = run.model(images).mean(0)
    outputs = run.outputs(hu)
    torch.testing.assert_close(outputs[1], expected)
    table = run.predict(hu)
    logit = float(expected[0])
    assert table["malignancy_logit"][1] == pytest.approx(logit, abs=1e-5)
    assert table["malignancy"][1] == pytest.approx(1 + 4 * expit(logit), abs=1e-5)
    assert table["malignancy_probability"][1] == pytest.approx(expit(1.5 * logit - 0.5), abs=1e-5)


def test_prediction_columns_are_the_documented_ones(make_run, hu):
    columns = make_run().predict(hu).columns
    name = "malignancy_probability"
    probability = ["malignancy_logit", name, f"{name}_low", f"{name}_high"]
    per_target = [name for target in TARGETS for name in (target, f"{target}_low", f"{target}_high")]
    assert list(columns) == [*probability, *per_target]


def test_predictions_do_not_depend_on_the_batch(make_run, hu):
    run = make_run()
    many = np.repeat(hu, 12, axis=0)
    torch.testing.assert_close(run.outputs(many)[::12], run.outputs(hu))
    assert len(run.predict(hu[:0])) == 0


def test_read_only_patches_are_welcome(make_run, hu):
    hu.setflags(write=False)
    assert len(make_run().predict(hu)) == 3


def test_single_slices_need_a_run_of_axial_views(make_run):
    flat = np.zeros((2, 1, 32, 32), np.int16)
    with pytest.raises(InputError, match="single axial slices"):
        make_run().predict(flat)
    assert len(make_run(views=ViewConfig(views=("axial",), pixels=16)).predict(flat)) == 2
    with pytest.raises(InputError, match=r"expected \(nodule, superior, posterior, left\)"):
        make_run().predict(flat[0, 0])


def test_a_patient_is_in_sample_after_training_or_calibration(run_dir):
    run = Run.load(run_dir)
    assert run.in_sample("training-patient") and run.in_sample("validation-patient", "any nodule")
    assert not run.in_sample("test-patient") and not run.in_sample("someone else")


def test_half_precision_files_lose_nothing_after_rounding(make_run, tmp_path, hu):
    run = make_run(half_precision=True)
    round_weights(run.model)
    run.save(tmp_path / "half")
    loaded = Run.load(tmp_path / "half")
    assert torch.equal(loaded.outputs(hu), run.outputs(hu))
    make_run().save(tmp_path / "full")
    size = {name: (tmp_path / name / "weights.safetensors").stat().st_size for name in ("half", "full")}
    assert size["half"] < 0.52 * size["full"]


def test_saving_twice_gives_the_same_bytes_and_replaces_the_folder(make_run, run_dir):
    before = {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()}
    make_run().save(run_dir)
    assert {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("name", sorted(FILES - {"plots", "predictions.csv", "model_card.md", "written.json"}))
def test_a_missing_file_is_named(run_dir, name):
    (run_dir / name).unlink()
    with pytest.raises(RunError, match=rf"untrained: .*{name} is missing"):
        Run.load(run_dir)


def test_altered_weights_are_refused(run_dir):
    file = run_dir / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(RunError, match=r"checksum .* is not the one in"):
        Run.load(run_dir)


def test_predictions_of_nan_weights_are_refused(make_run, hu):
    run = make_run()
    with torch.no_grad():
        next(run.model.parameters()).fill_(float("nan"))
    with pytest.raises(RunError, match="its weights are damaged"):
        run.predict(hu)


def record_files(run_dir):
    """Take the files as they are for those that were saved."""
    provenance = json.loads((run_dir / "provenance.json").read_text())
    provenance["files_sha256"] = file_checksums(run_dir)
    (run_dir / "provenance.json").write_text(json.dumps(provenance))


@pytest.mark.parametrize("name", ["config.yaml", "calibration.json"])
def test_an_edited_file_is_refused(run_dir, name):
    path = run_dir / name
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(RunError, match=rf"{name}: is not the file that was saved with this run"):
        Run.load(run_dir)


def test_a_run_of_an_earlier_version_without_these_checksums_is_read(run_dir):
    provenance = json.loads((run_dir / "provenance.json").read_text())
    del provenance["files_sha256"]
    (run_dir / "provenance.json").write_text(json.dumps(provenance))
    assert Run.load(run_dir).name == run_dir.name


def test_weights_of_another_architecture_are_refused_in_one_line(run_dir):
    text = (run_dir / "config.yaml").read_text()
    (run_dir / "config.yaml").write_text(text.replace("depth: 1", "depth: 2"))
    record_files(run_dir)
    assert RunConfig.from_yaml((run_dir / "config.yaml").read_text()).backbone.depth == 2
    with pytest.raises(RunError, match=r"weights do not fit config\.yaml: .*blocks\.1") as refused:
        Run.load(run_dir)
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        Run.load(tmp_path / "absent")
    with pytest.raises(RunError, match="not a run folder"):
        Run.load(tmp_path)


def test_damaged_json_is_refused(run_dir):
    for text in ("{", "[1]"):
        (run_dir / "provenance.json").write_text(text)
        with pytest.raises(RunError, match=r"provenance\.json"):
            Run.load(run_dir)
    provenance = {"weights_sha256": sha256(run_dir / "weights.safetensors")}
    (run_dir / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(RunError, match="patients of the folds are missing"):
        Run.load(run_dir)


def test_an_evaluation_is_recorded_in_the_folder(make_run, run_dir):
    run = Run.load(run_dir)
    run.record({"other": {"value": 0.25}}, pd.DataFrame({"nodule_id": ["a"], "malignancy": [2.123456]}))
    loaded = Run.load(run_dir)
    assert loaded.metrics == {"other": {"value": 0.25}}
    assert loaded.predictions["malignancy"].tolist() == [2.123456]
    with pytest.raises(RunError, match="save it before"):
        make_run().record({}, pd.DataFrame())


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv", "model_card.md"])
def test_what_somebody_has_written_into_a_run_is_not_written_over(run_dir, name):
    Run.load(run_dir).record({"other": {"value": 0.25}}, pd.DataFrame({"nodule_id": ["a"]}))
    (run_dir / "written.json").unlink()  # a run of an earlier version
    Run.load(run_dir).record({"other": {"value": 0.5}}, pd.DataFrame({"nodule_id": ["a"]}))
    with (run_dir / name).open("a") as file:
        file.write("\n")
    before = contents(run_dir)
    with pytest.raises(InputError, match=f"{name}: was not written by ctxai, or was changed since"):
        refuse_edited(run_dir)
    with pytest.raises(InputError, match=f"{name}: was not written by ctxai, or was changed since"):
        Run.load(run_dir).record({"other": {"value": 0.75}}, pd.DataFrame({"nodule_id": ["b"]}))
    assert contents(run_dir)[name] == before[name]


def test_a_run_is_not_saved_over_other_files(make_run, run_dir):
    for own in ("notes.txt", "plots/figure 3.svg", "external/clinic/letter.pdf", "baselines/mine/table.csv"):
        (run_dir / own).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / own).write_text("mine")
        with pytest.raises(InputError, match=f"{Path(own).name}: would be lost"):
            make_run().save(run_dir)
        assert (run_dir / own).read_text() == "mine"
        (run_dir / own).unlink()
    for ours in ("plots/roc.png", "external/clinic/plots/roc.png", "external/clinic/metrics.json", "baselines/a.csv"):
        (run_dir / ours).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / ours).write_text("ours")
    make_run().save(run_dir)
    assert {path.name for path in run_dir.iterdir()} == FILES


def test_a_patch_that_is_not_finite_is_refused(make_run, hu):
    patches = hu.astype(np.float32)
    patches[1, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="1 of 3 hold NaN"):
        make_run().predict(patches)
