"""Layout of a result folder of ``ctxai explain``: the names of its files, known here and nowhere else.

::

    OUT/predictions.csv  datapackage.json  predictions.json  report.html  written.json  sent.json
    OUT/shards/<i>-of-<n>.json
    OUT/<series>/explained.json  report.html  ct.nii.gz  nodules.nii.gz
    OUT/<series>/maps/<method>_<target>.nii.gz
    OUT/<series>/dicom/{pmap,seg,sr,sc,pdf,ct}/*.dcm
    OUT/<series>/views/<nodule>.png
    OUT/<series>/nodules/<nodule>/{ct,readers,<method>_<target>}.nii.gz  overview.json  overview.png

``<series>`` is made from the hash of the Series Instance UID: no file name holds an identity of the patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

#: Formats that are written where nothing else is asked for.
DEFAULT_FORMATS = "nifti,pmap,seg,sr"

PREDICTIONS_TABLE = "predictions.csv"
PREDICTIONS = "predictions.json"
#: Data dictionary of the table.
DATA_PACKAGE = "datapackage.json"
REPORT = "report.html"
#: Files that each PACS has accepted.
SENT_LOG = "sent.json"
#: One file per finished shard.
SHARDS = "shards"
#: Checksums of tables and pages, which are written again and again.
WRITTEN = "written.json"

#: In a series' folder: what its results depend on, where its CT is, its rows of the table, and its files.
SERIES_RECORD = "explained.json"
CT_NIFTI = "ct.nii.gz"
NODULES_NIFTI = "nodules.nii.gz"
MAPS = "maps"
DICOM = "dicom"
#: Beside the DICOM objects of a deidentified series: the deidentified CT.
DICOM_CT = "ct"

#: In a nodule's folder: its patch of the CT and the readers' consensus on it.
PATCH_CT = "ct.nii.gz"
PATCH_READERS = "readers.nii.gz"
#: There, too: the whole axial slice through it, and facts of it.
OVERVIEW = "overview.json"
OVERVIEW_PICTURE = "overview.png"


_SERIES_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NODULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_series_key(name: str) -> bool:
    """Whether a name can be that of a series' folder."""
    return bool(_SERIES_KEY.fullmatch(name))


def is_nodule_id(name: str) -> bool:
    """Whether a name can be that of a nodule's files."""
    return bool(_NODULE_ID.fullmatch(name))


def shard_file(out_dir: Path, index: int, count: int) -> Path:
    """Record of a finished shard."""
    return out_dir / SHARDS / f"{index}-of-{count}.json"


def nodule_folder(series_folder: Path, nodule_id: str) -> Path:
    """Patch of the CT and patch maps of a nodule, which its report shows."""
    return series_folder / "nodules" / nodule_id


def picture_of(series_folder: Path, nodule_id: str) -> Path:
    """Still picture of a nodule in three planes."""
    return series_folder / "views" / f"{nodule_id}.png"


def maps_of(columns: Iterable[str]) -> list[str]:
    """Names of the maps, ``<method>_<target>``, that columns of predictions.csv are about; files are named by them."""
    return [name.removesuffix("_inside") for name in columns if name.endswith("_inside")]
