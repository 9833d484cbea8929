from dataclasses import replace

import numpy as np
import pytest
import torch

from ctxai.benchmark.plan import Plan, make_plan, unseen_rows
from ctxai.benchmark.runner import is_evaluated, maps_of, record_of, refuse_other_plan, run_method, scores_of
from ctxai.data.store import NoduleStore
from ctxai.errors import InputError
from ctxai.evaluate.explanations.effort import Effort
from ctxai.evaluate.explanations.evaluation_set import choose_rows
from ctxai.evaluate.explanations.protocol import make_metrics
from ctxai.explain import CDAM, RandomMap
from ctxai.run.run import Run


@pytest.fixture(scope="module")
def plan(axial_run, crops_store) -> Plan:
    """Compactness of maps of malignancy, on four nodules."""
    run, store = Run.load(axial_run), NoduleStore(crops_store)
    chosen = choose_rows(store.table, unseen_rows(run, store)[0], 4, 0)
    metrics = make_metrics(["compactness"], "lung_mean", Effort(), token_pixels=8)
    return make_plan(run, store, chosen, ["malignancy"], metrics, "lung_mean", Effort(), seed=0)


def test_a_method_is_judged_once_it_has_a_record_of_this_plan(plan, tmp_path):
    assert not is_evaluated(tmp_path, "cdam", plan)
    run_method(tmp_path, "cdam", CDAM(plan.run.model), plan)
    assert is_evaluated(tmp_path, "cdam", plan)
    assert not is_evaluated(tmp_path, "cdam", replace(plan, digest="another"))
    refuse_other_plan(tmp_path, plan)
    with pytest.raises(InputError, match="cdam was judged by another run, store, version or other options"):
        refuse_other_plan(tmp_path, replace(plan, digest="another"))
    assert record_of(tmp_path, "cdam")["draws"] == 1
    assert maps_of(tmp_path, "cdam").shape == (len(plan.shown), 32, 32)
    scores = scores_of(tmp_path, ["cdam"])
    assert set(scores["nodule_id"]) == set(plan.subjects.nodule_ids)
    assert (scores["place"] == "").all()


def test_chance_is_the_mean_of_several_random_maps(plan, tmp_path):
    run_method(tmp_path, "random_map", RandomMap(plan.run.model), plan)
    scores = scores_of(tmp_path, ["random_map"]).set_index("nodule_id")
    assert not scores.index.duplicated().any()
    images = plan.subjects.images
    maps = torch.stack([RandomMap(plan.run.model, seed).attribute(images, target=0) for seed in range(10)])
    share = (maps < 0.05 * maps.amax((2, 3), keepdim=True)).float().mean((0, 2, 3))
    expected = dict(zip(plan.subjects.nodule_ids, share.tolist(), strict=True))
    np.testing.assert_allclose(scores["score"], [expected[nodule] for nodule in scores.index], atol=1e-6)
