"""The entry condition of planted truth, with a model that measures the trait."""

import numpy as np
import pytest
import torch

from ctxai.cli import main
from ctxai.data.planted import PlantedTruth
from ctxai.data.store import NoduleStore
from ctxai.errors import InputError
from ctxai.evaluate.explanations.planted_check import check_planted


class Measuring:
    """Stands in for a run: the brightest part of the middle, against a limit."""

    name = "measuring"

    def __init__(self, shift=0.0, blind=False):
        self.shift, self.blind = shift, blind

    def outputs(self, hu):
        middle = hu[:, :, 28:36, 28:36].float().flatten(1)
        logits = middle.quantile(0.6, dim=1) - 200 + self.shift
        return (torch.arange(len(hu)) % 2 - 0.5 if self.blind else logits)[:, None]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "store"
    assert main(["planted", str(folder), "--trait", "core", "--nodules", "20"]) == 0
    return PlantedTruth(NoduleStore(folder))


ROWS = np.arange(20)


def test_a_model_that_measures_the_trait_passes(truth):
    found = check_planted(Measuring(), truth, ROWS)
    assert found.auc >= 0.95
    assert found.removed >= 0.9
    assert 0.5 < found.flipped.mean() < 1  # those that do not flip are known one by one


def test_a_model_that_does_not_look_is_refused(truth):
    with pytest.raises(InputError, match="has not learnt the trait"):
        check_planted(Measuring(blind=True), truth, ROWS)


def test_a_model_that_never_changes_its_mind_is_refused_whatever_its_auc(truth):
    with pytest.raises(InputError, match=r"found (1\.000|0\.9\d+) and 0%"):
        check_planted(Measuring(shift=5000), truth, ROWS)
