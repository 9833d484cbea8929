import inspect

import pytest
import pytorch_lightning as pl

from ctxai.errors import InputError
from ctxai.training.trainer_flags import OPTIONS, PASSED, trainer_flags


def test_text_becomes_the_value_that_it_means():
    given = {"limit-train-batches": "0.5", "detect_anomaly": "true", "profiler": "simple", "log_every_n_steps": 5}
    assert trainer_flags(given) == {
        "limit_train_batches": 0.5,
        "detect_anomaly": True,
        "profiler": "simple",
        "log_every_n_steps": 5,
    }


def test_all_names_are_flags_of_the_trainer():
    assert {*PASSED, *OPTIONS} <= set(inspect.signature(pl.Trainer).parameters)
    assert not set(PASSED) & set(OPTIONS)


def test_a_value_that_lightning_does_not_take_is_refused_with_its_words():
    with pytest.raises(
        InputError, match=r"--trainer.strategy: refused by Lightning \(You selected an invalid strategy"
    ):
        trainer_flags({"strategy": "no_such"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("max_epochs", "give --optim.epochs"),
        ("precision", "give --compute.precision"),
        ("callbacks", "the training sets this flag itself"),
        ("profilr", "no such flag; .* did you mean profiler"),
    ],
)
def test_a_flag_that_is_not_the_users_is_refused_by_name(name, said):
    with pytest.raises(InputError, match=f"--trainer.{name}: .*{said}"):
        trainer_flags({name: "1"})
