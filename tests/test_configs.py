"""Every file of configs/ is read by what it is for."""

import json
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch
import yaml

from ctxai.cli import main, parse
from ctxai.data.augment import random_plane
from ctxai.data.settings import VIEWS
from ctxai.errors import InputError
from ctxai.lidc.cohort import CohortRules, load_rules
from ctxai.models.backbone import make_backbone
from ctxai.models.optim import rate_factor
from ctxai.run.run import Run

from cohorts import sphere_store

REPOSITORY = Path(__file__).parents[1]
FILES = {path.name: path for path in sorted((REPOSITORY / "configs").iterdir())}
COHORTS = [name for name in FILES if name.startswith("cohort-")]
#: The stage that reads a file, and the arguments it needs besides.
STAGE_OF = {name: ("train", ["store", "run"]) for name in FILES if name not in {*COHORTS, "pipeline.yaml"}}
STAGE_OF |= {name: ("pretrain", ["store", "run"]) for name in FILES if name.startswith("pretrain")}


def parsed(name):
    stage, positional = STAGE_OF[name]
    _, values = parse([stage, *positional, "--config", str(FILES[name])])
    values.apply_defaults()
    return SimpleNamespace(**values.arguments)


def test_there_are_only_yaml_files_that_begin_by_saying_what_they_are_for():
    assert {"tiny.yaml", "default.yaml", "cohort-default.yaml", "pipeline.yaml"} <= set(FILES)
    for path in FILES.values():
        assert path.suffix == ".yaml"
        assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", COHORTS)
def test_a_cohort_file_holds_rules_under_its_own_name(name):
    rules = load_rules(name.removeprefix("cohort-").removesuffix(".yaml"))
    assert f"cohort-{rules.name}.yaml" == name
    assert set(yaml.safe_load(FILES[name].read_text())) <= set(CohortRules.__dataclass_fields__)
    assert 1 <= rules.min_readers <= 4


@pytest.mark.parametrize("name", STAGE_OF)
def test_a_stage_takes_every_value_of_its_file(name):
    options, given = parsed(name), yaml.safe_load(FILES[name].read_text())
    assert given
    for key, value in given.items():
        assert_holds(getattr(options, key), value, key)


def assert_holds(option, value, where):
    if isinstance(value, dict):
        for key, inner in value.items():
            assert_holds(getattr(option, key), inner, f"{where}.{key}")
    else:
        option = str(option) if isinstance(option, Path) else option
        assert (list(option) if isinstance(value, list) else option) == value, where


@pytest.mark.parametrize("name", STAGE_OF)
def test_the_model_of_a_file_sees_its_images(name):
    options = parsed(name)
    assert set(options.views.views) <= set(VIEWS)
    model = make_backbone(options.backbone, options.views.pixels, initialise=False).eval()
    with torch.inference_mode():
        embedding = model(torch.zeros(1, 3, options.views.pixels, options.views.pixels))
    assert embedding.shape == (1, model.embed_dim)


def test_a_misspelt_key_is_refused(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("optim: {epoch: 3}\n")
    with pytest.raises(InputError, match=r"line 1: train has no option optim.epoch; did you mean optim.epochs"):
        parse(["train", "store", "run", "--config", str(path)])


def test_the_workflow_configuration_fits_its_schema_and_misses_no_key():
    schema = json.loads((REPOSITORY / "pipelines" / "config.schema.json").read_text())
    config = yaml.safe_load(FILES["pipeline.yaml"].read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(config, schema)
    assert keys(config) == keys_of_schema(schema)
    assert (REPOSITORY / "configs" / config["train"]["config"]).is_file()
    assert f"cohort-{config['ingest']['cohort']}.yaml" in FILES
    with pytest.raises(jsonschema.ValidationError, match="shard"):
        jsonschema.validate(config | {"ingest": {"cohort": "default", "shard": 4}}, schema)


def keys(value):
    return {name: keys(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def keys_of_schema(schema):
    properties = schema.get("properties")
    return {name: keys_of_schema(inner) for name, inner in properties.items()} if properties else None


PUBLISHED = ("cdam-vits8", "conrad")


@pytest.mark.parametrize("name", ["default", *PUBLISHED])
def test_a_recipe_trains_on_a_small_network(name, tmp_path, caplog):
    store = sphere_store(tmp_path / "store", nodules=30)
    if name in PUBLISHED:  # whose folds are by nodule
        store.write_table(
            store.table.assign(fold=[row // 2 % 5 if row % 4 else (row // 2 + 1) % 5 for row in range(30)])
        )
    small = ["--backbone.depth", "1", "--backbone.pretrained", "false", "--backbone.patch_size", "16"]
    small += ["--backbone.name", "vit_tiny_patch16_224", "--views.pixels", "32", "--optim.epochs", "1"]
    run_dir = tmp_path / "run"
    config = ["--config", f"{name}.yaml", *small, "--accelerator", "cpu", "--compute.precision", "fp32"]
    assert main(["train", str(store.path), str(run_dir), *config]) == 0
    run = Run.load(run_dir)
    assert np.isfinite(run.metrics["training"]["epoch_losses"]).all()
    assert list(run.predict(store.hu(0)[None])[[*run.target_names]]) == list(run.target_names)
    warned = "patients lie on both sides of the split"
    said = [warned in text for text in (caplog.text, (run_dir / "metrics.json").read_text())]
    assert said == [name in PUBLISHED] * 2
    assert ("Folds by nodule" in (run_dir / "model_card.md").read_text()) == (name in PUBLISHED)


def test_the_published_recipe_is_the_published_one():
    options = parsed("cdam-vits8.yaml")
    assert list(options.targets) == ["malignancy"] and options.label == "hard" and options.folds.unit == "nodule"
    offsets, turns = set(), set()
    for seed in range(200):
        plane = random_plane(np.random.default_rng(seed), "axial", 30.0, options.augment)
        offsets.add(float(plane[0, 2]))
        turns.add(tuple(plane[1:, :2].flatten().round().int().tolist()))
    assert offsets == {-2.0, -1.0, 0.0, 1.0, 2.0} and len(turns) == 4
    factor = rate_factor(options.optim, steps=1000)
    assert factor(0) == pytest.approx(0.01) and factor(125) == pytest.approx(1.0)
    assert factor(500) == pytest.approx(0.01) and factor(625) == pytest.approx(0.505)
