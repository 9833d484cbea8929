"""Section of the report about one nodule: viewer, ratings, checks of the maps, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from ctxai.data.targets import TargetTable
from ctxai.export.nodule_summary import OVER_MODELS
from ctxai.report.crops import Crops, MapFile
from ctxai.report.own_targets import OwnPrediction, own_predictions
from ctxai.report.page import encoded, render_fragment
from ctxai.report.ratings import interval_plot, rating_table, readers_mean
from ctxai.report.trust import Level, map_trust, warnings_of

#: The wider field is chosen at first for nodules above this size.
_SMALL_NODULE_MM = 20.0


def nodule_section(
    row: Mapping[str, Any],
    crops: Crops | None,
    anchor: str,
    picture: Path | None,
    model: str = "",
    own: TargetTable | None = None,
) -> Markup:
    """HTML of a nodule.

    Args:
        row: its row of predictions.csv.
        crops: its files; None shows ``picture`` instead of the viewer.
        anchor: id of the section.
        picture: the nodule's still picture, where there is one.
        model: what it was explained by, where the page has nodules of several models.
        own: targets of one's own, in place of LIDC-IDRI's.
    """
    predictions = None if own is None else own_predictions(row, own)
    files = () if crops is None else crops.maps
    maps = [_map(row, one) for one in files]
    picture_of_slice = None if crops is None else crops.overview_picture
    return render_fragment(
        "nodule.html",
        row=row,
        over_models=OVER_MODELS,
        anchor=anchor,
        model=model,
        readers=readers_mean(row, "malignancy"),
        plot=None if own else interval_plot(row, "malignancy"),
        main=None if predictions is None else predictions[0],
        warnings=_by_level(row),
        crops=crops,
        picture=None if picture is None else picture.read_bytes(),
        images=None if crops is None else _images(crops, maps),
        maps=maps,
        methods=[(name, name.replace("_", " ")) for name in dict.fromkeys(one.method for one in files)],
        targets=[(name, name.replace("_", " ")) for name in dict.fromkeys(one.target for one in files)],
        choices=[(number, f"{one.method.replace('_', ' ')}, {one.target}") for number, one in enumerate(files)],
        overview_picture=None if picture_of_slice is None else picture_of_slice.read_bytes(),
        overview_height=100 if picture_of_slice is None else _height(picture_of_slice),
        wide=(row.get("diameter_mm") or 0) > _SMALL_NODULE_MM,
        ratings=rating_table(row) if predictions is None else _own_table(predictions),
        meanings={figure.name: figure.meaning for one in maps for figure in one["figures"].values()},
        how=list(_how(files)),
    )


def _by_level(row: Mapping[str, Any]) -> dict[Level, list[str]]:
    """Reasons of the warnings by their consequence, the gravest first."""
    found: dict[Level, list[str]] = {}
    for warning in warnings_of(row):
        found.setdefault(warning.level, []).append(warning.text)
    return found


def _own_table(predictions: Sequence[OwnPrediction]) -> Markup:
    return render_fragment("own_targets.html", predictions=predictions)


def _map(row: Mapping[str, Any], one: MapFile) -> dict[str, Any]:
    """A map with its checks."""
    trust = map_trust(row, one.column)
    figures = {figure.name: figure for figure in trust.figures}
    return {"file": one, "method": one.method, "target": one.target, "figures": figures, "warnings": trust.warnings}


def _images(crops: Crops, maps: list[dict[str, Any]]) -> dict[str, Any]:
    """Volumes for the viewer: NIfTI files as base64."""
    return {
        "numbers": [] if crops.overview is None else list(crops.overview.patch_images),
        "ct": encoded(crops.ct),
        "readers": None if crops.readers is None else encoded(crops.readers),
        "maps": [
            {
                "method": one["method"],
                "target": one["target"],
                "signed": one["file"].signed,
                "warnings": one["warnings"],
                "checked": bool(one["figures"]),
                "nifti": encoded(one["file"].path),
            }
            for one in maps
        ],
    }


def _height(picture: Path) -> float:
    """Height of a picture that is 100 wide."""
    with Image.open(picture) as image:
        return 100 * image.height / image.width


def _how(files: tuple[MapFile, ...]) -> Iterator[tuple[str, str, str]]:
    """Method, options and publication, once per method."""
    for one in {one.method: one for one in files}.values():
        options = ", ".join(f"{name} {json.dumps(value)}" for name, value in one.options.items()) or "no options"
        yield one.method, options, one.reference
