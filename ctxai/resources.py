"""Configs and manifests that come with the package: beside it in a source checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from ctxai.errors import InputError
from ctxai.suggestions import did_you_mean

_PACKAGE = Path(__file__).parent


def resource(kind: str, name: str = "") -> Path:
    """Path of a file that comes with the package.

    Args:
        kind: ``configs`` or ``data_manifests``.
        name: file in it; empty for the folder.

    Raises:
        InputError: when there is no such file; names those there are.
    """
    roots = [_PACKAGE / "resources" / kind, _PACKAGE.parent / kind]
    folder = next((root for root in roots if root.is_dir()), None)
    if folder is None:
        raise InputError(f"{kind}: not installed with the package; install ctxai again")
    path = folder / name
    if not path.exists():
        alike = sorted(p.name for p in folder.iterdir() if p.name.startswith("cohort-") == name.startswith("cohort-"))
        raise InputError(f"{name}: no such file among {kind} ({', '.join(alike)}){did_you_mean(name, alike)}")
    return path
