"""Tables of metrics and of fills in docs/metrics.md."""

import re
import sys
from pathlib import Path

import pytest

from ctxai.evaluate.explanations.metric import get_metric, list_metrics
from ctxai.evaluate.explanations.perturbation_baselines import FILLS

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

import metric_facts  # noqa: E402

PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")


def rows(text, first):
    """Cells of every row of the table whose header begins with ``first``, by the first cell."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(first))
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip().strip("`").replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        found[cells[0]] = cells[1:]
    return found


METRICS = rows(metric_facts.table(), "| name |")


def test_every_metric_of_the_package_is_in_the_table_once_and_the_page_asks_for_it():
    assert list(METRICS) == [name for name in list_metrics() if get_metric(name).__module__.startswith("ctxai.")]
    assert "<!-- generate: metrics -->" in PAGE


@pytest.mark.parametrize("name", METRICS)
def test_a_row_has_all_cells(name):
    summary, better, units, *_, reference = METRICS[name]
    assert summary.endswith((".", ":"))
    assert better in "↑↓–"
    assert units and reference


def test_a_row_states_the_class():
    assert METRICS["aopc"][2:] == [
        "output",
        "model",
        "fill=uniform, region=9, steps=100, repeats=10",
        "arXiv:1509.06321",
    ]
    assert METRICS["completeness_error"][1] == "↓"


def test_every_fill_is_in_the_table_once():
    assert list(rows(PAGE, "| fill |")) == list(FILLS)
