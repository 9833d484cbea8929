import json
from pathlib import Path

import pytest

from ctxai.errors import InputError
from ctxai.viewer import ohif
from ctxai.viewer.ohif import OHIF_VERSION, app_config, find_ohif, viewer_url


def test_the_address_names_the_study_and_the_series_that_is_up():
    assert viewer_url("http://127.0.0.1:1", "1.2") == "http://127.0.0.1:1/viewer?StudyInstanceUIDs=1.2"
    assert viewer_url("http://h", "1.2", "3.4").endswith("?StudyInstanceUIDs=1.2&initialSeriesInstanceUID=3.4")


def test_the_configuration_asks_its_own_origin_alone():
    text = app_config()
    assert text.startswith("window.config = ")
    assert "http" not in text
    plain, _, extension = text.removeprefix("window.config = ").partition(";\n")
    config = json.loads(plain)
    assert "window.config.extensions.push({" in extension
    (source,) = config["dataSources"]
    assert config["defaultDataSourceName"] == source["sourceName"]
    assert {source["configuration"][root] for root in ("qidoRoot", "wadoRoot")} == {"/dicom-web"}
    assert config["disableConfirmationPrompts"] is True


def test_the_folder_of_the_environment_is_taken(monkeypatch, tmp_path):
    (tmp_path / "index.html").touch()
    monkeypatch.setenv("CTXAI_OHIF", str(tmp_path))
    assert find_ohif() == tmp_path
    (tmp_path / "index.html").unlink()
    with pytest.raises(InputError, match=r"found no index\.html"):
        find_ohif()


def test_the_installer_fetches_the_version_that_is_tested():
    assert f"\nversion={OHIF_VERSION}\n" in Path(ohif.__file__).with_name("install.sh").read_text()
