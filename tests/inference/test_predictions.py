import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ctxai.commands.explain import explain
from ctxai.ct.series import read_series
from ctxai.explain import CDAM
from ctxai.inference.options import ExplainOptions
from ctxai.inference.predictions import prediction_row
from ctxai.run.ood import Novelty

from runs import untrained_run
from sphere import SPHERE, nodule_at


@pytest.mark.parametrize(("training_distance", "percentile"), [(1e-3, 100.0), (1e9, 0.0)])
def test_explain_warns_of_a_nodule_unlike_the_training_nodules(
    sphere_ct, write_points, tmp_path, caplog, training_distance, percentile
):
    """It is predicted all the same."""
    run = untrained_run()
    features = 3 * run.model.backbone.embed_dim
    run.novelty = Novelty(
        np.zeros(features, np.float32), np.eye(features, dtype=np.float32), np.array([training_distance], np.float32)
    )
    run.save(tmp_path / "run")
    with caplog.at_level(logging.WARNING, logger="ctxai"):
        explain(sphere_ct, tmp_path / "out", run=tmp_path / "run", points=write_points(), maps=False)
    warned = [record.getMessage() for record in caplog.records if "unlike the training nodules" in record.message]
    assert len(warned) == (percentile > 95)
    assert all("nodule sphere" in message for message in warned)
    assert pd.read_csv(tmp_path / "out" / "predictions.csv")["novelty_percentile"].tolist() == [percentile]


def test_a_row_tells_views_that_the_run_was_not_trained_for_and_leaves_out_what_is_no_number(sphere_ct):
    run = untrained_run()
    nodule = nodule_at(sphere_ct, SPHERE, run)
    nodule = replace(nodule, prediction={**nodule.prediction, "malignancy_low": -np.inf})
    views = ["axial", "oblique"]
    request = ExplainOptions(sphere_ct, run, [CDAM(run.model)], ["malignancy"], views, trust=False)
    row = prediction_row(read_series(sphere_ct), nodule, request)
    assert row["untrained_views"] == "oblique"
    assert row["malignancy_low"] is None
    assert row["cdam_malignancy_inside"] is None  # nobody outlined it
    assert not [name for name in row if name.endswith("_fidelity")]
    assert (row["nodule_id"], row["x"], row["diameter_mm"]) == ("sphere", SPHERE[0], 14)
