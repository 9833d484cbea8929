import pytest

from ctxai.commands import COMMANDS
from ctxai.suggestions import did_you_mean


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        ("expain", "explain"),
        ("Explain", "explain"),
        ("trian", "train"),
        ("fetch_study", "fetch-study"),
        ("fetchstudy", "fetch-study"),
        ("eval", "evaluate"),
    ],
)
def test_a_slip_of_the_pen_is_told_what_it_meant(found, meant):
    assert did_you_mean(found, COMMANDS) == f"; did you mean {meant}?"


def test_a_word_unlike_all_names_is_told_nothing():
    assert did_you_mean("banana", COMMANDS) == ""
    assert did_you_mean("", COMMANDS) == ""
    assert did_you_mean("nowhere.yaml", ["conrad.yaml", "tiny.yaml"]) == ""


def test_names_joined_by_commas_are_told_to_be_given_one_by_one():
    assert did_you_mean("cdam,AGCAM", ["cdam", "agcam"]) == "; give several with spaces between: cdam agcam"
