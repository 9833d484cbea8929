"""Names that ``ctxai.explain`` gives out."""

import subprocess
import sys

import pytest

from ctxai import explain
from ctxai.explain.methods.cdam import CDAM


def test_every_method_of_the_package_can_be_imported_by_its_class_name():
    assert explain.CDAM is CDAM
    for name in explain.list_methods():
        method = explain.get_method(name)
        if method.__module__.startswith("ctxai."):
            assert getattr(explain, method.__name__) is method
            assert method.__name__ in dir(explain)


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="NoSuchMethod"):
        _ = explain.NoSuchMethod


def test_importing_the_methods_loads_no_library_that_only_some_of_them_need():
    code = "import sys; from ctxai.explain import LIME; print(*{'captum', 'sklearn', 'skimage'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
