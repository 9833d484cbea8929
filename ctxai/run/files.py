"""The files of a run folder, read and checked before the network is built."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file

from ctxai.errors import RunError, one_line
from ctxai.files import sha256
from ctxai.folder_kinds import describe_kind
from ctxai.own_files import OwnFiles
from ctxai.run.calibration import Calibration
from ctxai.run.config import RunConfig
from ctxai.run.ood import Novelty
from ctxai.run.target_calibration import TableCalibration
from ctxai.training.settings import LOGS

CONFIG, WEIGHTS, CALIBRATION = "config.yaml", "weights.safetensors", "calibration.json"
PROVENANCE, METRICS, PREDICTIONS = "provenance.json", "metrics.json", "predictions.csv"
NOVELTY, CARD, PLOTS = "novelty.safetensors", "model_card.md", "plots"
GATES = "diffmask.safetensors"
"""The trained gates of Vision DiffMask."""
_MOST_MEMBERS = 100
REQUIRED = (CONFIG, WEIGHTS, CALIBRATION, PROVENANCE, METRICS)
"""Files without which a folder is not a run."""
CHECKED = (CONFIG, CALIBRATION, NOVELTY)
"""Files whose checksums stand in the provenance, beside that of the weights."""
WRITTEN = "written.json"
"""Checksums of the files that an evaluation writes again."""
REWRITTEN = (METRICS, PREDICTIONS, CARD)
"""Those files."""
_ANY_FIGURES = r"predictions\.csv|metrics\.json|evaluation\.html|plots/[^/]+\.png"
EXTERNAL_FILES = re.compile(_ANY_FIGURES)
"""Paths of an external validation's files in its folder."""
RUN_FILES = re.compile(
    "|".join(map(re.escape, [*REQUIRED, NOVELTY, CARD, GATES, WRITTEN]))
    + rf"|{_ANY_FIGURES}|{LOGS}/.+|external/[^/]+/({_ANY_FIGURES})|baselines/([^/]+\.csv|\..+)"
)
"""Paths of a run's files in its folder."""


@dataclass(frozen=True, eq=False)
class RunFiles:
    """Contents of a run folder beside its weights; the fields are those of :class:`ctxai.run.run.Run`."""

    config: RunConfig
    calibration: Calibration | TableCalibration
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    predictions: pd.DataFrame
    novelty: Novelty | None
    weights_sha256: str

    @property
    def members(self) -> int:
        """Networks of an ensemble; 1 of a single network."""
        return int(self.provenance.get("members", 1))


def refuse_edited(folder: Path) -> None:
    """Refuse a run whose figures, predictions or model card somebody has changed: they would be written anew.

    Raises:
        InputError: naming the file.
    """
    OwnFiles(folder, WRITTEN, REWRITTEN).refuse_others(*REWRITTEN)


def read_run_files(folder: Path) -> RunFiles:
    """Read everything of a run folder but the weights themselves, whose checksum is compared.

    Raises:
        RunError: when it is not a run, or a file is missing, altered or damaged.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder; make one with `ctxai train STORE_DIR RUN_DIR`")
    for name in REQUIRED:
        if not (folder / name).is_file():
            raise RunError(
                f"{folder}: not a run folder, or damaged ({name} is missing){describe_kind(folder)}; "
                "give a folder that `ctxai train` wrote"
            )
    found: dict[str, Any] = {Path(name).stem: read(folder / name) for name, read in READERS.items()}
    checksum = sha256(folder / WEIGHTS)
    expected = found["provenance"].get("weights_sha256")
    if checksum != expected:
        raise RunError(
            f"{folder / WEIGHTS}: checksum {checksum[:12]}… is not the one in {PROVENANCE} ({str(expected)[:12]}…); "
            "restore the file or train the run again"
        )
    recorded = found["provenance"].get("files_sha256", {})  # runs of earlier versions have none
    present = file_checksums(folder)
    if recorded and (altered := [name for name in CHECKED if present.get(name) != recorded.get(name)]):
        state = "is not the file that was saved with this run" if altered[0] in present else "is missing"
        raise RunError(f"{folder / altered[0]}: {state}; restore it or train the run again")
    return RunFiles(**found, weights_sha256=checksum)


def file_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of the files beside the weights that predictions depend on, as far as they are there."""
    return {name: sha256(folder / name) for name in CHECKED if (folder / name).is_file()}


def _config(path: Path) -> RunConfig:
    return RunConfig.from_yaml(path.read_bytes())


def _calibration(path: Path) -> Calibration | TableCalibration:
    value = _json(path)
    return TableCalibration.from_json(value) if "targets" in value else Calibration.from_json(value)


def _provenance(path: Path) -> dict[str, Any]:
    provenance = _json(path)
    members = provenance.get("members", 1)
    if not isinstance(members, int) or not 1 <= members <= _MOST_MEMBERS:
        raise RunError(f"{path}: {members!r} networks, expected 1 to {_MOST_MEMBERS}; train the run again")
    if not _are_folds(provenance.get("patients")):
        raise RunError(f"{path}: the patients of the folds are missing; train the run again")
    return provenance


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: not JSON ({error}); restore the file or train the run again") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: expected a JSON object, found {type(value).__name__}; train the run again")
    return value


def _novelty(path: Path) -> Novelty | None:
    if not path.is_file():
        return None
    try:
        return Novelty.from_tensors(load_file(path))
    except (KeyError, ValueError, SafetensorError) as error:
        raise RunError(f"{path}: damaged ({one_line(error)}); restore the file, or remove it to do without") from None


def _predictions(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path) if path.is_file() and path.stat().st_size > 1 else pd.DataFrame()
    except ValueError as error:
        raise RunError(f"{path}: not a CSV file ({one_line(error)}); restore the file or remove it") from None


def _are_folds(patients: Any) -> bool:
    """Whether the patients of every fold are listed: who was learnt from must never be guessed."""
    return isinstance(patients, dict) and all(
        isinstance(patients.get(fold), list) for fold in ("training", "validation", "test")
    )


READERS: dict[str, Callable[[Path], Any]] = {
    PROVENANCE: _provenance,
    CONFIG: _config,
    CALIBRATION: _calibration,
    METRICS: _json,
    PREDICTIONS: _predictions,
    NOVELTY: _novelty,
}
"""How each file is read; what it gives is the field of `RunFiles` that has the file's name."""
