"""The table of metrics in docs/metrics.md says what the classes say."""

import re
from pathlib import Path

import pytest

from ctxai.evaluate.explanations.metric import get_metric, list_metrics
from ctxai.evaluate.explanations.perturbation_baselines import FILLS

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
BETTER = {True: "↑", False: "↓", None: "–"}


def table(first):
    """Cells of every row of the table whose header begins with ``first``, by the first cell."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(first))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip().strip("`").replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        rows[cells[0]] = cells[1:]
    return rows


METRICS = table("| name |")


def test_every_metric_of_the_package_is_in_the_table_once():
    assert list(METRICS) == [name for name in list_metrics() if get_metric(name).__module__.startswith("ctxai.")]


@pytest.mark.parametrize("name", METRICS)
def test_a_row_says_what_the_class_says(name):
    _, better, units, needs, published, reference = METRICS[name]
    metric = get_metric(name)
    assert better == BETTER[metric.higher_is_better]
    assert units == metric.units
    assert needs == (", ".join(sorted(metric.needs)) or "–")
    assert published == (", ".join(f"{option}={value}" for option, value in metric.published.items()) or "–")
    assert reference == metric.reference


def test_every_fill_is_in_the_table_once():
    assert list(table("| fill |")) == list(FILLS)
