"""Table of explanation methods in the documentation."""

import sys
from pathlib import Path

import pytest

from ctxai.explain import get_method

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

import method_facts  # noqa: E402

ROWS = {line.split("`")[1]: line for line in method_facts.table().splitlines()[2:]}


def test_the_table_has_every_method_of_the_package_once():
    assert list(ROWS) == method_facts.own_methods()


@pytest.mark.parametrize("name", ROWS)
def test_a_row_links_to_the_card_and_states_the_class(name):
    link, question, signed, class_specific, resolution, needs, cost = (
        cell.strip() for cell in ROWS[name].strip("|").split(" | ")
    )
    method = get_method(name)
    assert (DOCS / "methods" / link.split("(")[1].rstrip(")")).is_file()
    assert question[0].isupper()
    assert (signed == "yes", class_specific == "yes") == (method.signed, method.class_specific)
    assert resolution == method.resolution
    assert set(needs.split(", ")) - {"–"} == method.needs
    assert cost == "–" or float(cost) > 0


def test_costs_come_from_the_benchmark():
    assert 0 < float(ROWS["cdam"].rstrip("| ").split(" | ")[-1]) < 2
    assert "[`cdam`](cdam.md)" in ROWS["cdam"]
