"""Data dictionary of predictions.csv, as a Frictionless data package: name, type, unit and meaning of every column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ctxai.data.labels import SCALES
from ctxai.data.targets import TargetTable, build_targets, own_table
from ctxai.disclaimer import NOTICE
from ctxai.results_folder import PREDICTIONS_TABLE

_MIDDLE = "middle of the nodule as the run sees it, about which it predicts and explains, LPS mm"
_MEANINGS = {
    "series": "folder of the series, from the hash of its Series Instance UID",
    "nodule_id": "name of the nodule in every file",
    "x": "centre of the nodule, LPS mm, towards the patient's left",
    "y": "centre of the nodule, LPS mm, towards posterior",
    "z": "centre of the nodule, LPS mm, towards superior",
    "middle_x": f"{_MIDDLE}, towards the patient's left",
    "middle_y": f"{_MIDDLE}, towards posterior",
    "middle_z": f"{_MIDDLE}, towards superior",
    "diameter_mm": "diameter as measured by readers or given by the user, mm",
    "n_readers": "readers who outlined the nodule",
    "in_sample": "the run has learnt from this patient; empty where that is not known",
    "malignancy_logit": "output of the model before calibration",
    "malignancy_probability": "calibrated probability of a median rating over 3, within what calibration supports",
    "malignancy_probability_low": "lower end of the 90 % interval of malignancy_probability",
    "malignancy_probability_high": "upper end of the 90 % interval of malignancy_probability",
    "novelty_percentile": "share of the training nodules that are less unlike the others, percent",
    "roundness": "smallest over largest curvature of the tissue: 1 in a ball, 0 in a vessel or a wall",
    "nodule_at_mark": "largest share of nodule that the run sees within 4 mm of the mark",
    "outline_at_border": "largest share of nodule that the run sees on the border of its images",
    "outline_by_readers": "the shares inside are of the readers' outline; false: of the one that the run itself sees",
    "outline_off_centre_mm": "distance from the centre of the images to the middle of the nodule that the run sees, mm",
    "untrained_views": "views that were explained and the run was not trained for",
    "run": "name of the run",
    "weights_sha256": "SHA-256 of the run's weights",
    "SeriesInstanceUID": "Series Instance UID of the CT (0020,000E), or its pseudonym",
    "StudyInstanceUID": "Study Instance UID of the CT (0020,000D), or its pseudonym",
    "InstanceNumber": "Instance Number (0020,0013) of the image through the nodule's centre",
    "SOPInstanceUID": "SOP Instance UID (0008,0018) of that image, or its pseudonym",
    "notice": "limits of use",
}
#: Endings of columns of a map; they begin with method and target.
_MAP = {
    "_inside": "share of the positive evidence inside the outline, see outline_by_readers",
    "_inside_by_chance": "share of the explained voxels inside the same outline",
    "_fidelity": "how much more the output falls without the most than without the least important parts",
    "_fidelity_percentile": "place of the fidelity among random maps, percent",
    "_fidelity_percentile_blur": "the same place where parts are blurred instead of replaced by lung, percent",
    "_stability": "lowest rank correlation with maps under noise of 20 HU, of a mark 2 mm aside, of other kernels",
    "_sanity": "the map changes with shuffled weights",
}
_TYPES = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}


def data_package(table: pd.DataFrame, *targets: Sequence[Any]) -> dict[str, Any]:
    """The data package of a table of predictions.

    Args:
        table: predictions.csv, one row per nodule.
        targets: those of one's own of each model, as `plain_targets` gives them.
    """
    tables = [own_table(build_targets(one)) for one in targets]
    meanings = {name: meaning for own in tables if own is not None for name, meaning in _own_meanings(own)}
    fields = [_field(str(name), table[name], meanings) for name in table.columns]
    schema = {"fields": fields, "missingValues": [""], "primaryKey": ["series", "nodule_id"]}
    resource = {
        "name": "predictions",
        "path": PREDICTIONS_TABLE,
        "profile": "tabular-data-resource",
        "format": "csv",
        "encoding": "utf-8",
        "dialect": {"delimiter": ",", "lineTerminator": "\n"},
        "schema": schema,
    }
    return {
        "profile": "tabular-data-package",
        "name": "ctxai-predictions",
        "description": NOTICE,
        "resources": [resource],
    }


def _own_meanings(own: TargetTable) -> Iterator[tuple[str, str]]:
    """Column and meaning of every prediction of targets of one's own."""
    for one in own:
        for output, label in zip(one.outputs, one.classes if one.kind == "multiclass" else one.outputs, strict=True):
            what = f"{one.name}: {label}" if one.kind == "multiclass" else one.name
            if one.kind in ("binary", "multiclass"):
                yield f"{output}_logit", f"output of the model before calibration, {what}"
                yield f"{output}_probability", f"calibrated probability, {what}"
            unit = f", {one.unit}" if one.unit else ""
            if one.kind == "multiclass":
                yield f"{output}_possible", f"1 where the class is possible at a level of 90 %, {what}"
            elif one.kind != "binary":
                yield output, f"predicted {what}{unit}"
            column = f"{output}_probability" if one.kind == "binary" else output
            spread = f"{output}_probability" if one.kind == "multiclass" else column
            yield f"{spread}_spread", f"standard deviation of {spread} over the models of an ensemble{unit}"
            yield f"{column}_low", f"lower end of the 90 % interval of {column}{unit}"
            yield f"{column}_high", f"upper end of the 90 % interval of {column}{unit}"


def _field(name: str, values: pd.Series, meanings: Mapping[str, str]) -> dict[str, Any]:
    kind = _TYPES.get(values.dtype.kind, "string")
    known = values.dropna()
    if kind == "string" and len(known) and all(isinstance(one, bool) for one in known):
        kind = "boolean"
    field: dict[str, Any] = {"name": name, "type": kind, "description": meanings.get(name) or _meaning(name)}
    if kind == "boolean":
        field |= {"trueValues": ["True"], "falseValues": ["False"]}
    return field


def _meaning(name: str) -> str:
    if name in _MEANINGS:
        return _MEANINGS[name]
    target = re.sub(r"^readers_|_low$|_high$|_spread$", "", name)
    if target in SCALES:
        unit = "mm" if target == "diameter" else "on the readers' scale"
        if name.startswith("readers_"):
            return f"mean of the readers' ratings of {target}, {unit}"
        if name.endswith("_spread"):
            return f"standard deviation of {target} over the models of an ensemble, {unit}"
        end = {"_low": "lower end of the 90 % interval of ", "_high": "upper end of the 90 % interval of "}
        return (
            next((words for ending, words in end.items() if name.endswith(ending)), "predicted ") + f"{target}, {unit}"
        )
    for ending in sorted(_MAP, key=len, reverse=True):
        if name.endswith(ending):
            return f"map {name.removesuffix(ending)}: {_MAP[ending]}"
    return f"mean of the readers' ratings of {name.removeprefix('readers_')}" if name.startswith("readers_") else name
