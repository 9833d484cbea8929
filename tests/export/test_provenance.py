from __future__ import annotations

import dataclasses
import json

import pytest

from ctxai import __version__
from ctxai.errors import InputError
from ctxai.export import Provenance
from ctxai.export.provenance import shorten


def test_description_names_everything_that_made_the_map(provenance):
    text = provenance.describe()
    for part in (
        "CDAM",
        "malignancy",
        "pre_norm",
        "samples=50",
        "vits8",
        "0123456789abcdef" * 4,
        "phantom/2",
        __version__,
    ):
        assert part in text
    assert "research use only" in text


def test_a_long_description_is_cut_to_what_dicom_holds(provenance):
    many = dataclasses.replace(provenance, explained=tuple(f"nodule {i}" for i in range(500)))
    assert len(many.describe(1024)) == 1024
    assert "weights SHA-256" in many.describe(1024)


def test_the_dictionary_is_json_and_says_research_use_only(provenance):
    value = json.loads(json.dumps(provenance.as_dict()))
    assert value["options"] == {"samples": 50, "variant": "pre_norm"}
    assert value["notice"] == "research use only, not for diagnosis"
    assert value["explained"] == ["phantom/1", "phantom/2"]


def test_file_names_hold_letters_and_digits_only():
    assert Provenance("Grad-CAM ../x", "internal structure").stem == "Grad-CAM-..-x_internal-structure"
    assert "/" not in Provenance("../..", "/").stem


def test_separators_of_dicom_do_not_reach_a_text():
    assert shorten("a\\b\nc", 10) == "a/bc"
    assert shorten("abcdefgh", 6) == "abc..."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": ""}, "needs a method"),
        ({"weights_sha256": "abc"}, "64 lower-case hexadecimal"),
        ({"explained": ("näh",)}, "ASCII"),
        ({"explained": ("x" * 65,)}, "1 to 64"),
        ({"options": {"model": object()}}, "JSON"),
        ({"options": {"level": float("nan")}}, "JSON"),
    ],
)
def test_what_cannot_be_written_is_refused(provenance, change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(provenance, **change)
