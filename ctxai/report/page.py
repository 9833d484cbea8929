"""Self-contained HTML pages: templates with autoescape, and a policy that names every script and style by its hash."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ctxai.disclaimer import NOTICE

_FOLDER = Path(__file__).parent
_NIIVUE = _FOLDER / "vendor" / "niivue-0.69.0.umd.js"


def render_page(
    template: str,
    *,
    style: str,
    scripts: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    viewer: bool = False,
    **content: object,
) -> str:
    """Render a page that loads nothing from anywhere.

    The page's policy allows the page's own style and scripts by their SHA-256 and nothing else (CSP Level 3), so that
    text that came into the page by any way is never run.

    Args:
        template: file in ``templates``, which extends ``base.html``.
        style: style sheet in ``assets``.
        scripts: scripts in ``assets``, in the order in which they build on each other.
        settings: constant ``PAGE`` of the scripts.
        viewer: embed niivue, compressed, for the 3-D view.
        content: variables of the template.
    """
    css, code = _asset(style), [_asset(name) for name in scripts]
    if settings is not None:
        code.insert(0, f"const PAGE = {json.dumps(settings, separators=(',', ':'))};")
    allowed = [*code, *([_niivue_source()] if viewer else [])]
    return (
        environment()
        .get_template(template)
        .render(
            notice=NOTICE,
            policy=Markup(_policy([css], allowed)),
            style=Markup(css),
            scripts=[Markup(text) for text in code],
            niivue=_niivue() if viewer else None,
            **content,
        )
    )


def render_fragment(template: str, **content: object) -> Markup:
    """Part of a page, from a file in ``templates``."""
    return Markup(environment().get_template(template).render(**content))


@cache
def environment() -> Environment:
    """Templates of the package; every value is escaped, and an unknown name is an error."""
    found = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["number"] = number
    found.filters["percent"] = percent
    found.filters["png"] = png_address
    return found


def number(value: float | None, decimals: int = 1, signed: bool = False) -> str:
    """A number with a minus sign; a dash where there is none."""
    return "–" if value is None else minus(f"{value:{'+' if signed else ''}z.{decimals}f}")


def percent(share: float) -> str:
    """A share as whole per cent; never 0 or 100, which no model can know."""
    return "under 1 %" if share < 0.005 else "over 99 %" if share > 0.995 else f"{100 * share:.0f} %"


def minus(text: str) -> str:
    """Hyphens of numbers as minus signs."""
    return text.replace("-", "−")


def encoded(path: Path) -> str:
    """A file's bytes as base64."""
    return base64.b64encode(path.read_bytes()).decode("ascii")


def png_address(content: bytes) -> str:
    """A PNG file as the address of an image."""
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    rules = {
        "default-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "img-src": ["data:", "blob:"],
        "style-src": [_hash(text) for text in styles],
        "script-src": [_hash(text) for text in scripts] or ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (_FOLDER / "assets" / name).read_text(encoding="utf-8")


@cache
def _niivue_source() -> str:
    return _NIIVUE.read_text(encoding="utf-8")


@cache
def _niivue() -> str:
    """The library as base64 of gzip: a page that shows no 3-D view never unpacks it."""
    return base64.b64encode(gzip.compress(_niivue_source().encode(), mtime=0)).decode("ascii")
