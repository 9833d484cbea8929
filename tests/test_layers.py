"""Which part imports which: the contracts of ``[tool.importlinter]``, and the drawing in docs/architecture.md."""

import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from pages import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs"))
import import_graph

sys.path.pop(0)


def lint(root):
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(root), "COLUMNS": "200"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def copied(tmp_path):
    """The package's Python files and settings, to be changed."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("weights", "vendor", "assets", "__pycache__")
    shutil.copytree(REPOSITORY / "ctxai", tmp_path / "ctxai", ignore=ignored)
    return tmp_path


def test_every_part_imports_from_lower_layers_only_and_without_circles():
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("ct/grid.py", "import ctxai.lidc.cohort", "Imports go from upper to lower layers"),
        ("ct/grid.py", "import torch", "without torch"),
        ("explain/base.py", "import ctxai.ct.grid", "not CT"),
        ("errors.py", "import ctxai.files", "No circle"),
    ],
)
def test_an_import_against_the_layers_is_found(copied, module, line, contract):
    path = copied / "ctxai" / module
    path.write_text(path.read_text() + f"\n{line}\n")
    done = lint(copied)
    assert done.returncode == 1
    assert any(contract in said and "BROKEN" in said for said in done.stdout.splitlines()), done.stdout


def test_the_drawing_shows_every_part_and_the_imports_as_they_are():
    titles = {unescape(title) for title in re.findall(r"<title>(.+?)</title>", import_graph.DRAWING.read_text())}
    drawn = {tuple(title.split("->")) for title in titles if "->" in title}
    assert {name for row in import_graph.layers() for name in row} <= titles, "give: make graph"
    assert drawn <= import_graph.edges(), "give: make graph"
    reached = drawn
    while more := {(a, d) for a, b in reached for c, d in drawn if b == c} - reached:
        reached = reached | more
    assert import_graph.edges() <= reached, "give: make graph"
