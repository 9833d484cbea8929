"""OHIF, a DICOM viewer that runs in a browser: where it is installed, its configuration, and addresses of studies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlencode

from ctxai.errors import InputError

#: The version that ``make viewer`` installs and the system tests look at.
OHIF_VERSION = "3.12.10"

#: Folder of OHIF in a source checkout.
_INSTALLED = Path(__file__).parents[2] / ".viewer" / "ohif"
_VARIABLE = "CTXAI_OHIF"
_FIRST_SCREEN = Path(__file__).with_name("first_screen.js")
_MODES = ("@ohif/mode-longitudinal", "@ohif/mode-basic")


def find_ohif() -> Path | None:
    """Folder of the built viewer: that of the environment variable CTXAI_OHIF, else the one ``make viewer`` made.

    Raises:
        InputError: when CTXAI_OHIF names a folder without the viewer.
    """
    named = os.environ.get(_VARIABLE)
    folder = Path(named) if named else _INSTALLED
    if (folder / "index.html").is_file():
        return folder
    if named:
        raise InputError(f"{_VARIABLE}={named}: expected the folder of a built OHIF, found no index.html in it")
    return None


def viewer_url(root: str, study_uid: str, series_uid: str | None = None) -> str:
    """Address under which the viewer shows a study, with one series up.

    Args:
        root: where the viewer is served, such as ``http://127.0.0.1:3000``.
        study_uid: Study Instance UID.
        series_uid: Series Instance UID of what is shown first; an overlay is drawn on the CT that it refers to.
    """
    query = {"StudyInstanceUIDs": study_uid}
    if series_uid is not None:
        query["initialSeriesInstanceUID"] = series_uid
    return f"{root}/viewer?{urlencode(query)}"


def app_config() -> str:
    """OHIF's ``app-config.js``: one DICOMweb source on the viewer's own origin, and nothing from elsewhere.

    Questions, tours and notices that would cover the first image are off. An extension (``first_screen.js``) goes to
    the nodule and draws its outline.
    """
    source = {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": "local",
        "configuration": {
            "friendlyName": "Studies on this machine",
            "name": "local",
            "qidoRoot": "/dicom-web",
            "wadoRoot": "/dicom-web",
            "wadoUriRoot": "/dicom-web",
            "qidoSupportsIncludeField": False,
            "supportsReject": False,
            "supportsStow": False,
            "supportsFuzzyMatching": False,
            "supportsWildcard": True,
            "imageRendering": "wadors",
            "thumbnailRendering": "wadors",
            "enableStudyLazyLoad": True,
            "staticWado": False,
            "singlepart": "bulkdata,video,pdf",
            "bulkDataURI": {"enabled": True},
            "omitQuotationForMultipartRequest": True,
        },
    }
    panel = {"props": {"rightPanelClosed": {"$set": False}}}
    config = {
        "name": "ctxai",
        "routerBasename": "/",
        "extensions": [],
        "modes": [],
        "customizationService": [{"ohif.tours": {"$set": []}}],
        "showStudyList": True,
        "maxNumberOfWebWorkers": 3,
        "showLoadingIndicator": True,
        "showWarningMessageForCrossOrigin": False,
        "showCPUFallbackMessage": False,
        "strictZSpacingForVolumeViewport": True,
        "groupEnabledModesFirst": True,
        "disableConfirmationPrompts": True,
        "investigationalUseDialog": {"option": "never"},
        "defaultDataSourceName": "local",
        "dataSources": [source],
        # The list of segments stands open beside the images: what is drawn, in which colour, and a switch for each.
        "modesConfiguration": {mode: {"routes": {"0": {"layoutInstance": panel}}} for mode in _MODES},
    }
    return f"window.config = {json.dumps(config, indent=2)};\n{_FIRST_SCREEN.read_text(encoding='utf-8')}"
