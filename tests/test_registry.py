"""The registry of what people add by name."""

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

from ctxai.errors import InputError
from ctxai.registry import Registry


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """An empty registry over a package with a module in a subpackage."""
    package = tmp_path / "shapes_of_test"
    (package / "round").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from ctxai.registry import Registry\n\n"
        "SHAPES = Registry('a shape', 'shapes_of_test', 'shapes_of_test.plugins')\n"
    )
    (package / "square.py").write_text("from . import SHAPES\n\nSHAPES.register('square', 4)\n")
    (package / "round" / "__init__.py").touch()
    (package / "round" / "great_circle.py").write_text("from .. import SHAPES\n\nSHAPES.register('great_circle', 0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("shapes_of_test").SHAPES
    for name in [name for name in sys.modules if name.startswith("shapes_of_test")]:
        del sys.modules[name]


def test_modules_of_the_package_and_its_subpackages_are_discovered(registry):
    assert registry.names() == ["great_circle", "square"]
    assert list(registry) == [0, 4]


def test_nothing_is_imported_before_the_first_look_up(registry):
    assert "shapes_of_test.square" not in sys.modules
    registry.names()
    assert "shapes_of_test.square" in sys.modules


def test_capitals_hyphens_and_underscores_do_not_count(registry):
    assert registry.get("GreatCircle") == registry.get("great-circle") == 0


def test_an_unknown_name_is_answered_with_the_nearest(registry):
    with pytest.raises(InputError, match="expected a shape, found 'sqare'; known: great_circle, square; did you mean"):
        registry.get("sqare")


def test_two_items_of_one_name_are_refused_and_a_reload_is_not():
    registry = Registry[type]("a type", "email.mime", "none")
    registry.register("name", dict)
    registry.register("name", dict)
    with pytest.raises(InputError, match="expected a new name for list, found 'name', which is dict's"):
        registry.register("name", list)


def test_entry_points_of_other_distributions_are_loaded_and_broken_ones_are_logged(registry, monkeypatch, caplog):
    good = importlib.metadata.EntryPoint("hexagon", "shapes_plugin:HEXAGON", "shapes_of_test.plugins")
    bad = importlib.metadata.EntryPoint("none", "no_such_module:NONE", "shapes_of_test.plugins")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: (good, bad))
    module = type(sys)("shapes_plugin")
    module.HEXAGON = registry.register("hexagon", 6)
    monkeypatch.setitem(sys.modules, "shapes_plugin", module)
    assert registry.get("hexagon") == 6
    assert "a shape none (no_such_module:NONE) cannot be loaded" in caplog.text


def test_the_registry_needs_no_torch():
    code = "import sys, ctxai.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
