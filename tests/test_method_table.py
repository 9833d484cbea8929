"""The table of methods in docs/how-to/explain.md says what the classes and the benchmark say."""

import csv
from pathlib import Path

import pytest

from ctxai import explain
from ctxai.explain import get_method, list_methods

REPOSITORY = Path(__file__).parents[1]


def table():
    """Cells of every row, by method name."""
    lines = (REPOSITORY / "docs" / "how-to" / "explain.md").read_text(encoding="utf-8").splitlines()
    start = lines.index(next(line for line in lines if line.startswith("| name | class |")))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        rows[cells[0]] = cells[1:]
    return rows


def costs():
    """Forward passes of a method for one target on the ViT-S/16, by class name."""
    with (REPOSITORY / "benchmarks" / "results" / "explain.csv").open(encoding="utf-8") as file:
        measured = [row for row in csv.DictReader(file) if row["model"] == "vit_small_patch16_224"]
    return {row["method"].split(",")[0]: row["forward_passes"] for row in measured if "targets" not in row["method"]}


def test_the_table_has_every_method_of_the_package_once():
    own = [name for name in list_methods() if get_method(name).__module__.startswith("ctxai.")]
    assert list(table()) == own


@pytest.mark.parametrize("name", table())
def test_a_row_of_the_table_is_what_the_class_says(name):
    title, signed, class_specific, resolution, needs, cost, reference = table()[name]
    method = get_method(name)
    assert method is getattr(explain, title)
    assert (signed == "yes", class_specific == "yes") == (method.signed, method.class_specific)
    assert resolution == method.resolution
    assert needs == (", ".join(sorted(method.needs)) or "–")
    assert cost == costs().get(title, "–")
    assert reference == method.reference
