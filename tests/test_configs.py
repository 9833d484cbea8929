"""Every file of configs/ is read by what it is for."""

import json
from pathlib import Path

import jsonschema
import pytest
import torch
import yaml
from jsonargparse import ArgumentError

from ctxai.cli import stage_parser
from ctxai.data.views import VIEWS
from ctxai.lidc.cohort import CohortRules, load_rules
from ctxai.models.backbone import make_backbone

REPOSITORY = Path(__file__).parents[1]
FILES = {path.name: path for path in sorted((REPOSITORY / "configs").iterdir())}
COHORTS = [name for name in FILES if name.startswith("cohort-")]
#: The stage that reads a file, and the arguments it needs besides.
STAGE_OF = {name: ("train", ["store", "run"]) for name in FILES if name not in {*COHORTS, "pipeline.yaml"}}
STAGE_OF |= {name: ("pretrain", ["store", "run"]) for name in FILES if name.startswith("pretrain")}


def parsed(name):
    stage, positional = STAGE_OF[name]
    parser = stage_parser(stage)
    return parser.instantiate(parser.parse_args([*positional, "--config", str(FILES[name])]))


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
        assert_holds(options[key], value, key)


def assert_holds(option, value, where):
    if isinstance(value, dict):
        for key, inner in value.items():
            assert_holds(getattr(option, key), inner, f"{where}.{key}")
    else:
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
    with pytest.raises(ArgumentError, match="epoch"):
        stage_parser("train").parse_args(["store", "run", "--config", str(path)])


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
