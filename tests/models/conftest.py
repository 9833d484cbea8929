"""A small untrained run, as it is kept and as it is loaded."""

import pytest
import torch

from ctxai.data.views import ViewConfig
from ctxai.models.backbone import BackboneConfig
from ctxai.models.calibration import Calibration
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.run import Run
from ctxai.models.run_config import RunConfig


def untrained_run(**options):
    """A run of one block on 16 px images with random weights."""
    config = RunConfig(**({"views": ViewConfig(pixels=16), "backbone": BackboneConfig(depth=1)} | options))
    torch.manual_seed(0)
    model = NoduleClassifier(config.backbone, config.views.pixels, config.optim).eval()
    parts = ("training", "validation", "test")
    provenance = {
        "patients": {part: [f"{part}-patient"] for part in parts},
        "nodules": {part: [f"{part}-nodule"] for part in parts},
        "store": {"nodules": 3, "table_sha256": "0" * 64},
    }
    return Run("untrained", config, model, Calibration(1.5, -0.5), provenance)


@pytest.fixture
def make_run():
    """Factory of untrained runs."""
    return untrained_run


@pytest.fixture
def run_dir(tmp_path):
    """A saved untrained run."""
    untrained_run().save(tmp_path / "untrained")
    return tmp_path / "untrained"
