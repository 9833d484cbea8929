"""A nodule that is unlike the training nodules is predicted all the same, and said to be."""

import logging

import numpy as np
import pandas as pd
import pytest

from ctxai.models.novelty import Novelty
from ctxai.stages.explain import explain

from runs import untrained_run


@pytest.mark.parametrize(("training_distance", "percentile"), [(1e-3, 100.0), (1e9, 0.0)])
def test_explain_warns_of_a_nodule_unlike_the_training_nodules(
    sphere_ct, write_points, tmp_path, caplog, training_distance, percentile
):
    run = untrained_run()
    features = 3 * run.model.backbone.embed_dim
    run.novelty = Novelty(
        np.zeros(features, np.float32), np.eye(features, dtype=np.float32), np.array([training_distance], np.float32)
    )
    run.save(tmp_path / "run")
    with caplog.at_level(logging.WARNING, logger="ctxai"):
        explain(sphere_ct, tmp_path / "out", run=tmp_path / "run", points=write_points(), maps=False)
    warned = [record.getMessage() for record in caplog.records if "further from the training nodules" in record.message]
    assert len(warned) == (percentile > 95)
    assert all("nodule sphere" in message for message in warned)
    assert pd.read_csv(tmp_path / "out" / "predictions.csv")["novelty_percentile"].tolist() == [percentile]
