"""Candidates of a detector, written as the CSV of points that ``ctxai explain --points`` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.files import write_text

COLUMNS = ("x", "y", "z", "nodule_id", "series_uid", "diameter_mm", "score")


@dataclass(frozen=True, eq=False)
class Candidate:
    """Place, size and score of one nodule that a detector proposes.

    Attributes:
        centre_lps: middle of its box, LPS mm.
        diameter_mm: longest side of its box.
        score: between 0 and 1; how sure the detector is, not a calibrated probability.
    """

    centre_lps: np.ndarray
    diameter_mm: float
    score: float


def write_candidates(path: Path, found: Mapping[str, Sequence[Candidate]]) -> None:
    """Write candidates in their order, numbered through; without any, the header alone.

    Args:
        path: CSV file.
        found: by Series Instance UID of the CT; empty where it has none.
    """
    every = [(uid, candidate) for uid, candidates in found.items() for candidate in candidates]
    rows = [
        (
            *(round(float(value), 3) for value in each.centre_lps),
            f"candidate-{number:03d}",
            uid,
            round(each.diameter_mm, 2),
            round(each.score, 4),
        )
        for number, (uid, each) in enumerate(every, start=1)
    ]
    write_text(path, pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False, lineterminator="\n"))
