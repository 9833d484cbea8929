"""Where a run comes from: software, store, folds; the same inputs give the same record."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from ctxai import __version__
from ctxai.data.labels import Split
from ctxai.data.store import TABLE
from ctxai.files import sha256

_PACKAGES = ("torch", "timm", "pytorch-lightning", "numpy", "safetensors")


def provenance_of(store_dir: Path, table: pd.DataFrame, split: Split, seed: int) -> dict[str, Any]:
    """The record that `provenance.json` holds.

    ``patients`` and ``nodules`` list the ids of ``training``, ``validation`` and ``test``. The weights'
    checksum is added when the run is saved. No dates and no paths: they differ between equal runs.
    """
    parts = {"training": split.training, "validation": split.validation, "test": split.test}
    return {
        "ctxai": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "git_commit": git_commit(),
        "seed": seed,
        "store": {"table_sha256": sha256(store_dir / TABLE), "nodules": len(table)},
        "patients": {name: sorted(set(table["patient_id"].iloc[rows].astype(str))) for name, rows in parts.items()},
        "nodules": {name: sorted(table["nodule_id"].iloc[rows].astype(str)) for name, rows in parts.items()},
    }


def git_commit() -> str | None:
    """The commit of the source tree this package runs from; None when it is installed or git is absent."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
