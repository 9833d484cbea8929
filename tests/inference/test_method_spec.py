import pytest

from ctxai.errors import InputError
from ctxai.inference.method_spec import parse_method_spec


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("cdam", "cdam", {}),
        ("smooth_cdam:n_samples=20", "smooth_cdam", {"n_samples": 20}),
        ("smooth_cdam:noise-level=5e-2,variant=pre_norm", "smooth_cdam", {"noise_level": 0.05, "variant": "pre_norm"}),
        ("attention_rollout:head_fusion=mean,start=0", "attention_rollout", {"head_fusion": "mean", "start": 0}),
        ("x:flag=true,other=none,share=0.5", "x", {"flag": True, "other": None, "share": 0.5}),
    ],
)
def test_a_method_and_its_options_are_read_as_typed(text, name, options):
    found = parse_method_spec(text)
    assert found == (name, options)
    assert [type(value) for value in found[1].values()] == [type(value) for value in options.values()]


@pytest.mark.parametrize("text", ["cdam:n_samples", "cdam:=3", "cdam:n=1,n=2", "cdam:2x=1", "cdam:n="])
def test_an_option_without_a_value_or_given_twice_is_refused(text):
    with pytest.raises(InputError, match="expected NAME:OPTION=VALUE"):
        parse_method_spec(text)
