"""The part of the report about one nodule: viewer, ratings, trust, how it was made."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctxai.report.crops import Crops, MapFile
from ctxai.report.ratings import number, rating_table, readers_mean
from ctxai.report.trust import Figure, MapTrust, map_trust, prediction_warnings

_PLANES = ("axial", "coronal", "sagittal")
#: The wider field is chosen at first for nodules above this size.
_SMALL_NODULE_MM = 20.0

_KEY = """<p class="key" aria-hidden="true">
<svg width="12" height="12"><circle class="predicted" cx="6" cy="6" r="4"/></svg> predicted
<svg width="26" height="12"><path class="interval" d="M2 6H24"/></svg> 90&nbsp;% interval
<svg width="16" height="16"><path class="readers" d="M8 1l7 7l-7 7l-7 -7z"/></svg> readers' mean,
<span class="doubt">bold</span> outside the interval</p>"""


def nodule_section(row: Mapping[str, Any], crops: Crops | None, anchor: str, picture: Path | None) -> str:
    """HTML of a nodule.

    Args:
        row: its line of predictions.csv.
        crops: its files; None shows ``picture`` instead of the viewer.
        anchor: id of the section.
        picture: the nodule's still picture, where there is one.
    """
    trust = {} if crops is None else {one.column: map_trust(row, one.column) for one in crops.maps}
    shown = _no_viewer(row, picture) if crops is None else _viewer(row, crops, anchor, trust)
    return f"""<section class="nodule" id="{anchor}" aria-labelledby="{anchor}-name">
<header><h2 id="{anchor}-name">{html.escape(row["nodule_id"])}</h2>
<p>{_headline(row)}</p></header>
{_warnings(prediction_warnings(row))}
{shown}
<div class="halves">
<div>
{rating_table(row)}
{_KEY}
</div>
<div>
{"" if crops is None else _trust_table(crops.maps, trust)}
{"" if crops is None else _how(crops.maps)}
</div></div>
</section>"""


def _headline(row: Mapping[str, Any]) -> str:
    parts = [f"malignancy <b>{number(row.get('malignancy'))}</b> of 5"]
    probability = row.get("malignancy_probability")
    if probability is not None:
        parts.append(f"probability that the median reader rates above 3: {probability:.1%}".replace("%", "&nbsp;%"))
    readers = readers_mean(row, "malignancy")
    if row.get("n_readers"):
        parts.append(f"{row['n_readers']} readers, mean {number(readers)}")
    else:
        parts.append("marked by a point, no readers")
    place = ", ".join(f"{axis} {row[axis]:.1f}" for axis in "xyz").replace("-", "−")
    parts.append(f"at {place} mm (LPS)")
    return " · ".join(parts)


def _warnings(sentences: list[str]) -> str:
    return "".join(f'<p class="warning">{html.escape(sentence)}</p>' for sentence in sentences)


def _viewer(row: Mapping[str, Any], crops: Crops, anchor: str, trust: Mapping[str, MapTrust]) -> str:
    data = {
        "ct": _base64(crops.ct),
        "readers": None if crops.readers is None else _base64(crops.readers),
        "maps": [
            {
                "method": one.method,
                "target": one.target,
                "signed": one.signed,
                "warnings": trust[one.column].warnings,
                "nifti": _base64(one.path),
            }
            for one in crops.maps
        ],
    }
    planes = "\n".join(
        f'<canvas data-plane="{plane}" tabindex="0" role="slider" aria-label="{plane} slice of {{name}}" '
        f'aria-valuemin="0" aria-valuemax="63" aria-valuenow="32"></canvas>'
        for plane in _PLANES
    ).replace("{name}", html.escape(row["nodule_id"]))
    return f"""<div class="viewer" role="group" aria-label="Images of {html.escape(row["nodule_id"])}">
<script type="application/json">{_script_json(data)}</script>
{_controls(row, crops, anchor)}
<p class="warning map-warning" role="status" hidden><b>Do not rely on this map:</b> <span></span>.</p>
<div class="panels">
{planes}
<div class="three-d-place"><button type="button" data-control="three-d">Show in 3-D</button>
<small>evidence from 30 % of the largest on</small></div>
</div>
{_legend(crops)}
<p class="viewer-message warning" role="alert" hidden></p>
<noscript><p class="warning">The images need JavaScript; stills lie in the folder views of the results.</p></noscript>
</div>"""


def _controls(row: Mapping[str, Any], crops: Crops, anchor: str) -> str:
    methods = list(dict.fromkeys(one.method for one in crops.maps))
    targets = list(dict.fromkeys(one.target for one in crops.maps))
    diameter = row.get("diameter_mm")
    wide = diameter is not None and diameter > _SMALL_NODULE_MM
    parts = []
    if crops.maps:
        parts += [
            f"<label>Method {_select('method', methods)}</label>",
            f"<label>Target {_select('target', targets)}</label>",
            '<label>Overlay <input type="range" data-control="opacity" min="0" max="100" step="5" value="75">'
            '<output data-tell="opacity-value">75 %</output></label>',
        ]
    parts.append(
        '<span role="radiogroup" aria-label="Window">Window '
        f'<label><input type="radio" name="{anchor}-window" data-control="window" value="lung" checked> lung</label> '
        f'<label><input type="radio" name="{anchor}-window" data-control="window" value="mediastinum"> '
        "mediastinum</label></span>"
    )
    parts.append(
        f'<label>Field <select data-control="field"><option value="40">40 mm</option>'
        f'<option value="64"{" selected" if wide else ""}>64 mm</option></select></label>'
    )
    if crops.readers is not None:
        parts.append('<label><input type="checkbox" data-control="outline" checked> readers\' outline</label>')
    return f'<div class="controls">{"".join(parts)}</div>'


def _select(name: str, values: list[str]) -> str:
    options = "".join(f'<option value="{html.escape(v)}">{html.escape(v.replace("_", " "))}</option>' for v in values)
    return f'<select data-control="{name}">{options}</select>'


def _legend(crops: Crops) -> str:
    scale = ""
    if crops.maps:
        scale = (
            '<div class="legend"><span data-tell="legend-low"></span><span class="bar" role="img" aria-label="blue: '
            'evidence against the target; transparent: none; yellow to red: evidence for it"></span>'
            '<span data-tell="legend-high"></span><small>ends: the largest magnitude in this nodule, '
            '<span data-tell="legend-largest"></span>; below 5 % of it transparent</small></div>'
        )
    return (
        f'<div class="below">{scale}<span><output class="readout" data-tell="cursor"></output> '
        '<button type="button" data-control="reset">Centre</button></span></div>'
    )


def _trust_table(maps: tuple[MapFile, ...], trust: Mapping[str, MapTrust]) -> str:
    figures = {figure.name: figure.meaning for one in trust.values() for figure in one.figures}
    if not figures:
        return '<p class="note">No trust figures: nothing tells how far the maps can be believed.</p>' if maps else ""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in figures)
    lines = []
    for one in maps:
        own = {figure.name: figure for figure in trust[one.column].figures}
        cells = "".join(_trust_cell(own.get(name)) for name in figures)
        doubt, said = (" doubt", "doubt") if trust[one.column].warnings else ("", "none failed")
        name = html.escape(f"{one.method.replace('_', ' ')}, {one.target}")
        lines.append(f'<tr><th scope="row">{name}</th><td class="verdict{doubt}">{said}</td>{cells}</tr>')
    meanings = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(why)}</dd>" for name, why in figures.items())
    return f"""<div class="scroll"><table class="trust"><caption>Can the maps be believed?</caption>
<thead><tr><th scope="col">map</th><th scope="col" class="verdict">checks</th>{head}</tr></thead><tbody>
{"".join(lines)}
</tbody></table></div>
<p class="note">That no check failed does not say that the map is right.</p>
<details><summary>What these figures mean</summary><dl>{meanings}</dl></details>"""


def _trust_cell(figure: Figure | None) -> str:
    if figure is None:
        return "<td>–</td>"
    flag = f' class="doubt" title="{html.escape(figure.doubt)}"' if figure.doubt else ""
    return f"<td{flag}>{html.escape(figure.value)}</td>"


def _how(maps: tuple[MapFile, ...]) -> str:
    lines = []
    for one in {one.method: one for one in maps}.values():
        options = ", ".join(f"{name} {json.dumps(value)}" for name, value in one.options.items()) or "no options"
        lines.append(f"<li><b>{html.escape(one.method)}</b>: {html.escape(options)}; {html.escape(one.reference)}</li>")
    return f"<details><summary>How the maps were made</summary><ul>{''.join(lines)}</ul></details>" if lines else ""


def _no_viewer(row: Mapping[str, Any], picture: Path | None) -> str:
    still = ""
    if picture is not None:
        name = html.escape(row["nodule_id"])
        source = f"data:image/png;base64,{_base64(picture)}"
        still = f'<img alt="{name}: CT in three planes, below with the map" src="{source}">'
    return (
        f'<div class="viewer-absent">{still}<p class="note">No images to scroll through: the result folder has none '
        "for this nodule. <code>ctxai explain</code> without <code>--no-maps</code> writes them.</p></div>"
    )


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
