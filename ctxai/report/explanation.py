"""The page that shows every explained nodule: prediction, interval, readers, picture. Self-contained, no server."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from ctxai.export.provenance import RESEARCH_USE_ONLY
from ctxai.files import write_text

_TEMPLATE = Path(__file__).with_name("explanation.html")

_NODULE = Template("""<section>
<h2>$nodule_id $badge</h2>
<div class="row"><img alt="$nodule_id: CT in three planes, below with the map" src="data:image/png;base64,$picture">
<table><tr><th></th><th>predicted</th><th>90 % interval</th><th>readers' mean</th></tr>
$lines</table></div>
<p>$evidence</p>
</section>""")


def write_report(out_dir: Path, rows: Sequence[dict[str, Any]], run_name: str) -> None:
    """Write ``report.html``.

    Args:
        out_dir: results of ``ctxai explain``.
        rows: lines of predictions.csv.
        run_name: the model's run.
    """
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        run=html.escape(run_name),
        notice=html.escape(RESEARCH_USE_ONLY),
        count=len(rows),
        nodules="\n".join(_section(out_dir, row) for row in rows),
    )
    write_text(out_dir / "report.html", page)


def _section(out_dir: Path, row: dict[str, Any]) -> str:
    picture = out_dir / row["series"] / "views" / f"{row['nodule_id']}.png"
    names = [name.removesuffix("_low") for name in row if name.endswith("_low")]
    return _NODULE.substitute(
        nodule_id=html.escape(row["nodule_id"]),
        badge='<span class="badge">seen in training</span>' if row["in_sample"] else "",
        picture=base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else "",
        lines="\n".join(_line(row, name) for name in names),
        evidence=_evidence(row),
    )


def _line(row: dict[str, Any], name: str) -> str:
    readers = row.get("diameter_mm") if name == "diameter" else row.get(f"readers_{name}")
    interval = f"{_number(row[f'{name}_low'])} to {_number(row[f'{name}_high'])}"
    unit = ", mm" if name == "diameter" else ""
    return f"<tr><th>{name}{unit}</th><td>{_number(row[name])}</td><td>{interval}</td><td>{_number(readers)}</td></tr>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _evidence(row: dict[str, Any]) -> str:
    shares = []
    for name, value in row.items():
        if name.endswith("_inside") and value is not None:
            chance = row[f"{name}_by_chance"]
            what = html.escape(name.removesuffix("_inside").replace("_", " "))
            shares.append(f"{what}: {value:.1%} of the positive evidence lies inside the nodule (chance {chance:.1%})")
    return "; ".join(shares)
