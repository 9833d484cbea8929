"""Small NIfTI files about each nodule that a result folder keeps for its report, as they are found there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctxai.errors import InputError
from ctxai.generations import recorded_files
from ctxai.report.overview import Overview, read_overview
from ctxai.results_folder import OVERVIEW, OVERVIEW_PICTURE, PATCH_CT, PATCH_READERS, nodule_folder


@dataclass(frozen=True)
class MapFile:
    """A map of a nodule on its patch.

    Attributes:
        method: name of the explanation method.
        target: what was explained.
        signed: whether negative values speak against the target.
        reference: the publication that defines the method.
        options: the method's options.
        weights_sha256: checksum of the model's weights.
        path: the NIfTI file, float32.
    """

    method: str
    target: str
    signed: bool
    reference: str
    options: Mapping[str, Any]
    weights_sha256: str
    path: Path

    @property
    def column(self) -> str:
        """Prefix of the columns of predictions.csv about this map."""
        return f"{self.method}_{self.target}"


@dataclass(frozen=True)
class Crops:
    """The files of one nodule.

    Attributes:
        ct: the patch of the CT, int16 HU.
        readers: the readers' 50 % consensus, uint8; None for a nodule that no reader outlined.
        maps: the maps that the nodule's row of predictions.csv has columns of, in their order.
        overview: the whole slice; None in results of an earlier version.
        overview_picture: its picture.
    """

    ct: Path
    readers: Path | None
    maps: tuple[MapFile, ...]
    overview: Overview | None = None
    overview_picture: Path | None = None


def find_crops(series_folder: Path, row: Mapping[str, Any]) -> Crops | None:
    """The files of a nodule; None when ``ctxai explain`` left none (``--no-maps``, or an earlier version).

    Args:
        series_folder: the series' folder of results.
        row: the nodule's line of predictions.csv; maps that it does not speak of are of an earlier call.

    Raises:
        InputError: when a file is not what was written, or the sidecar of a map is damaged.
    """
    folder = nodule_folder(series_folder, row["nodule_id"])
    files = {path.name: path for path in recorded_files(series_folder, f"{folder.relative_to(series_folder)}/")}
    if PATCH_CT not in files:
        return None
    order = list(row)
    described = [_described(path) for name, path in files.items() if name.endswith(".json") and "_" in name]
    known = [one for one in described if f"{one.column}_inside" in row and one.path.name in files]
    known.sort(key=lambda one: order.index(f"{one.column}_inside"))
    overview = read_overview(folder) if OVERVIEW in files else None
    picture = None if overview is None else files.get(OVERVIEW_PICTURE)
    return Crops(files[PATCH_CT], files.get(PATCH_READERS), tuple(known), overview, picture)


def _described(sidecar: Path) -> MapFile:
    try:
        how = json.loads(sidecar.read_text(encoding="utf-8"))["provenance"]
        return MapFile(
            method=how["method"],
            target=how["target"],
            signed=how["signed"],
            reference=how["reference"],
            options=how["options"],
            weights_sha256=how["weights_sha256"],
            path=sidecar.with_name(sidecar.name.removesuffix(".json") + ".nii.gz"),
        )
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{sidecar}: not the description of a map; run ctxai explain --no-resume again") from None
