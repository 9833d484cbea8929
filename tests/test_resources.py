from pathlib import Path

import pytest

from ctxai import resources
from ctxai.errors import InputError
from ctxai.resources import resource


@pytest.mark.parametrize("kind", ["configs", "data_manifests"])
def test_every_file_at_the_top_of_the_checkout_is_a_resource(kind):
    folder = resource(kind)
    names = {path.name for path in folder.iterdir()}
    assert names
    assert names == {path.name for path in (Path(__file__).parents[1] / kind).iterdir()}
    assert all(resource(kind, name) == folder / name for name in names)


def test_an_unknown_file_is_refused_with_the_names_there_are():
    with pytest.raises(InputError, match=r"no\.yaml.*tiny\.yaml"):
        resource("configs", "no.yaml")


def test_a_package_without_its_resources_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "ctxai")
    with pytest.raises(InputError, match="install ctxai again"):
        resource("configs")


def test_an_installed_package_takes_its_own_files_before_those_beside_it(tmp_path, monkeypatch):
    """Beside an installed package lie other packages, one of which may be called configs."""
    for folder, text in (("ctxai/resources/configs", "own"), ("configs", "a stranger's")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "tiny.yaml").write_text(text)
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "ctxai")
    assert resource("configs", "tiny.yaml").read_text() == "own"
