"""A small untrained run for tests that need any run at all."""

import torch

from ctxai.data.labels import TARGETS
from ctxai.data.settings import ViewConfig
from ctxai.models.settings import BackboneConfig
from ctxai.run.calibration import Calibration
from ctxai.run.config import RunConfig
from ctxai.run.run import Run


def untrained_run(**options):
    """A run of one block on 16 px images with random weights."""
    config = RunConfig(**({"views": ViewConfig(pixels=16), "backbone": BackboneConfig(depth=1)} | options))
    torch.manual_seed(0)
    model = config.make_model().eval()
    parts = ("training", "validation", "test")
    provenance = {
        "patients": {part: [f"{part}-patient"] for part in parts},
        "nodules": {part: [f"{part}-nodule"] for part in parts},
        "store": {"nodules": 3, "table_sha256": "0" * 64},
    }
    return Run("untrained", config, model, Calibration(1.5, -0.5, half_widths=dict.fromkeys(TARGETS, 1.25)), provenance)
