"""A self-contained page: one HTML file with its style, scripts and viewer library, that loads nothing from anywhere."""

from __future__ import annotations

import base64
import gzip
import html
import json
from functools import cache
from pathlib import Path
from string import Template

from ctxai.disclaimer import NOTICE
from ctxai.report.tiles import evidence_colours

_ASSETS = Path(__file__).with_name("assets")
_NIIVUE = Path(__file__).with_name("vendor") / "niivue-0.69.0.umd.js"
#: In the order in which they build on each other.
_VIEWER_SCRIPTS = ("volume.js", "planes.js", "three_d.js", "viewer.js")
_COHORT_SCRIPT = "cohort.js"


def render_page(title: str, header: str, body: str, viewer: bool) -> str:
    """The page as HTML.

    Args:
        title: for the window and the heading; plain text.
        header: HTML under the heading.
        body: HTML of the sections.
        viewer: whether the page holds nodules, and so needs the viewer and niivue.
    """
    scripts = [*(_VIEWER_SCRIPTS if viewer else ()), _COHORT_SCRIPT]
    return Template(_asset("explanation.html")).substitute(
        title=html.escape(title),
        notice=html.escape(NOTICE),
        style=_asset("explanation.css"),
        header=header,
        body=body,
        niivue=f'<script type="text/plain" id="niivue">{_niivue()}</script>' if viewer else "",
        settings=json.dumps({"colours": evidence_colours()}, separators=(",", ":")),
        scripts="\n".join(f"<script>\n{_asset(name)}</script>" for name in scripts),
    )


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@cache
def _niivue() -> str:
    """The library as base64 of gzip: a page that shows no 3-D view never unpacks it."""
    return base64.b64encode(gzip.compress(_NIIVUE.read_bytes(), mtime=0)).decode("ascii")
