"""The cards of explanation methods say what the classes say."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SPEC = importlib.util.spec_from_file_location("method_facts", DOCS / "method_facts.py")
method_facts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(method_facts)

CARDS = {path.stem: path.read_text(encoding="utf-8") for path in method_facts.FOLDER.glob("*.md")}
CARDS.pop("index")


def test_every_method_has_a_card_and_every_card_a_method():
    assert sorted(CARDS) == method_facts.own_methods()


@pytest.mark.parametrize("name", CARDS)
def test_the_facts_on_a_card_are_those_of_the_class(name):
    (found,) = method_facts.FACTS.findall(CARDS[name])
    assert found == method_facts.facts(name), "give: .venv/bin/python docs/method_facts.py"


@pytest.mark.parametrize("name", CARDS)
def test_a_card_answers_what_it_promises(name):
    assert [line for line in CARDS[name].splitlines() if line.startswith("## ")] == [
        "## In short",
        "## Cost",
        "## How it fails",
    ]


def test_facts_differ_where_the_classes_do():
    cdam, rollout = method_facts.facts("cdam"), method_facts.facts("attention_rollout")
    assert "| signed | yes" in cdam
    assert "| class specific | no" in rollout
    assert "| `discard_ratio` | `0.0` |" in rollout
    assert "measured on" in cdam
