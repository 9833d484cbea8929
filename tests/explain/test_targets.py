import numpy as np
import pytest
import torch

from ctxai.errors import InputError
from ctxai.explain import Concept
from ctxai.explain.network import Readout
from ctxai.explain.targets import Targets

OUTPUTS = torch.tensor([[1.0, 5.0, 2.0], [7.0, 0.0, 3.0]])
NAMES = ("margin", "malignancy", "texture")


def scores(target, names=()):
    return Targets(target, names, 2).scores(Readout(OUTPUTS, torch.zeros(2, 1, 4), None))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (2, [[2.0, 3.0]]),
        (np.int64(2), [[2.0, 3.0]]),
        (torch.tensor(2), [[2.0, 3.0]]),
        (torch.tensor([0, 2]), [[1.0, 3.0]]),
        (np.array([0, 2]), [[1.0, 3.0]]),
        (None, [[5.0, 7.0]]),
        (lambda outputs: outputs.sum(dim=1), [[8.0, 10.0]]),
        ([0, None, torch.tensor([1, 0])], [[1.0, 7.0], [5.0, 7.0], [5.0, 7.0]]),
        ((1,), [[5.0, 0.0]]),
    ],
)
def test_every_kind_of_target_picks_its_numbers(target, expected):
    assert scores(target).tolist() == expected


def test_names_are_looked_up_and_malignancy_is_the_default():
    assert scores("texture", NAMES).tolist() == [[2.0, 3.0]]
    assert scores(None, NAMES).tolist() == [[5.0, 0.0]]


def test_only_lists_and_tuples_are_several_targets():
    assert Targets([0], (), 2).several
    assert Targets((0,), (), 2).several
    assert not Targets(torch.tensor([0, 1]), (), 2).several


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "from 0 to 2, found 3"),
        (-1, "found -1"),
        ("roundness", "known names: margin"),
        (torch.tensor([0, 1, 2]), "one integer target per image"),
        (torch.tensor([0.0, 1.0]), "float32"),
        (1.5, "found 1.5"),
        (True, "found True"),
        ([], "empty list"),
        ([[0, 1]], "found \\[0, 1\\]"),
        (lambda outputs: outputs, "callable to return shape"),
        (lambda outputs: 3, "found int"),
    ],
)
def test_other_targets_are_refused(target, message):
    with pytest.raises(InputError, match=message):
        scores(target, NAMES)


def test_a_name_without_names_is_refused():
    with pytest.raises(InputError, match="the model names no outputs"):
        scores("margin")


def test_indices_are_given_for_outputs_only():
    assert Targets([0, None], (), 2).indices(OUTPUTS).tolist() == [[0, 0], [1, 0]]
    for target in (Concept(torch.zeros(4)), lambda outputs: outputs[:, 0]):
        with pytest.raises(InputError, match="outputs of the model"):
            Targets(target, (), 2).indices(OUTPUTS)
