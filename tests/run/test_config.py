from pathlib import Path

import pytest

from ctxai.data.settings import ViewConfig
from ctxai.errors import RunError
from ctxai.models.settings import BackboneConfig
from ctxai.run.config import RunConfig


def test_yaml_gives_the_same_options_back():
    config = RunConfig(
        views=ViewConfig(views=("axial",), slice_offsets_mm=(-2.0, 0.0, 2.0)),
        backbone=BackboneConfig(weights=Path("dino.pth")),
        label="hard",
    )
    assert RunConfig.from_yaml(config.to_yaml()) == config


@pytest.mark.parametrize("text", ["", "views: 3", "speed: fast", "views: {views: [axial], zoom: 2}", "a: [", "- 1"])
def test_other_documents_are_refused_in_one_line(text):
    with pytest.raises(RunError, match=r"config\.yaml: damaged or of another version") as refused:
        RunConfig.from_yaml(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "targets: [[malignancy]]",
        "views: {pixels: 64.5}",
        "views: {hu_window: [-1000, .inf]}",
        "views: {hu_window: [-1000, 0, 400]}",
        "shuffle_labels: 1",
        "seed: true",
        "label: medium",
        "backbone: {depth: deep}",
    ],
)
def test_a_value_of_another_type_is_refused(text):
    with pytest.raises(RunError, match="expected"):
        RunConfig.from_yaml(text)
