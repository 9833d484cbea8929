from pathlib import Path

import pytest

from ctxai.data.views import ViewConfig
from ctxai.errors import RunError
from ctxai.models.backbone import BackboneConfig
from ctxai.models.run_config import RunConfig


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
