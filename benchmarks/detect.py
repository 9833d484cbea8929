"""A detector on CTs that it has not seen: FROC with intervals, time and memory per CT.

    python benchmarks/detect.py BUNDLE DICOM_DIR NAME [--out FILE]

The nodules are those of LIDC-IDRI's readers in the CTs under DICOM_DIR, a real tree or a phantom. As in LUNA16
(Setio et al., Medical Image Analysis 2017) a nodule counts when at least three readers outlined it; a candidate finds
it when its middle lies within the nodule's radius of its centre, and a candidate on a nodule of fewer readers counts
neither way. Sensitivity at a rate of false candidates per CT is the share of nodules that score above all false
candidates but so many; cpm is the mean of the seven rates. Intervals are 95 %, from a bootstrap over patients. found is
the share of nodules with a candidate of any score, false_per_ct all others, and rank the mean place of the found
nodules among the candidates of their CT. The rows of NAME in the table are replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ctxai.ct.search import find_series
from ctxai.ct.series import CTSeries
from ctxai.detection.candidates import Candidate
from ctxai.detection.detector import load_detector, propose
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.files import write_text
from ctxai.inference.nodules import candidates_of
from ctxai.progress import track

RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
LEAST_READERS = 3
RESULTS = Path(__file__).parent / "results" / "detect.csv"


@dataclass(frozen=True, eq=False)
class Matched:
    """Scores of one CT.

    Attributes:
        nodules: highest score on each nodule, -inf where no candidate finds it.
        false: scores of candidates that are on no nodule.
        ranks: place of the first candidate on each found nodule, from 1.
    """

    nodules: np.ndarray
    false: np.ndarray
    ranks: np.ndarray


def match(found: Sequence[Candidate], centres: np.ndarray, radii: np.ndarray, counts: np.ndarray) -> Matched:
    """Candidates of a CT against its nodules.

    Args:
        found: the candidates, the highest score first.
        centres: of the nodules, LPS mm (nodule, 3).
        radii: mm.
        counts: whether a nodule counts.
    """
    places = np.array([each.centre_lps for each in found]).reshape(-1, 1, 3)
    scores = np.array([each.score for each in found])
    on = np.linalg.norm(places - centres, axis=-1) <= radii
    hits = on[:, counts]
    best = np.where(hits, scores[:, None], -np.inf).max(axis=0, initial=-np.inf)
    ranks = hits.argmax(axis=0)[hits.any(axis=0)] + 1 if len(found) else np.zeros(0)
    return Matched(best, scores[~on.any(axis=1)], ranks)


def sensitivity(nodules: np.ndarray, false: np.ndarray, per_ct: float, cts: int) -> float:
    """Share of nodules that score above all but ``per_ct`` false candidates a CT."""
    allowed = int(per_ct * cts + 1e-9)
    limit = np.sort(false)[::-1][allowed] if len(false) > allowed else -np.inf
    return float((nodules > limit).mean()) if len(nodules) else float("nan")


def figures(matched: Sequence[Matched]) -> dict[str, float]:
    """Figures of some CTs."""
    nodules, false, ranks = (
        np.concatenate([getattr(each, name) for each in matched]) for name in ("nodules", "false", "ranks")
    )
    at = {f"sensitivity_at_{rate:g}": sensitivity(nodules, false, rate, len(matched)) for rate in RATES}
    return at | {
        "cpm": float(np.mean(list(at.values()))),
        "found": float((nodules > -np.inf).mean()) if len(nodules) else float("nan"),
        "false_per_ct": len(false) / len(matched),
        "rank": float(ranks.mean()) if len(ranks) else float("nan"),
    }


def measure(bundle: Path, folder: Path) -> tuple[list[Matched], list[str], list[float]]:
    """Scores, patient and seconds of every CT under a folder.

    Raises:
        SystemExit: when the detector has learnt from a patient of it.
    """
    settings, find_boxes = load_detector(bundle, torch.device("cpu"))
    record = bundle / "training.json"
    seen = {each["patient_id"] for each in json.loads(record.read_text())["series"]} if record.is_file() else set()
    matched, patients, seconds = [], [], []
    for _, headers in track(sorted(find_series(folder).items()), "Detecting"):
        if headers[0].patient_id in seen:
            raise SystemExit(f"{headers[0].patient_id}: the detector has learnt from this patient")
        ct = CTSeries(headers)
        begin = time.perf_counter()
        found = propose(ct, settings, find_boxes)
        seconds.append(time.perf_counter() - begin)
        nodules = candidates_of(ct, None)
        matched.append(
            match(
                found,
                np.array([each.centre_lps for each in nodules]).reshape(-1, 3),
                np.array([each.diameter_mm or 0.0 for each in nodules]) / 2,
                np.array([each.n_readers >= LEAST_READERS for each in nodules], dtype=bool),
            )
        )
        patients.append(ct.patient_id)
    return matched, patients, seconds


def rows(name: str, values: Mapping[str, Mapping[str, float | None]], cts: int, nodules: int) -> list[dict]:
    """Rows of the table."""
    return [
        {"data": name, "figure": figure, **{key: "" if v is None else f"{v:.3f}" for key, v in each.items()}}
        | {"cts": cts, "nodules": nodules}
        for figure, each in values.items()
    ]


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("dicom_dir", type=Path)
    parser.add_argument("name")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    matched, patients, seconds = measure(arguments.bundle, arguments.dicom_dir)
    values = bootstrap_patients(lambda chosen: figures([matched[row] for row in chosen]), np.array(patients))
    if len(set(patients)) == 1:  # one patient has no interval
        values = {name: {"value": each["value"], "low": None, "high": None} for name, each in values.items()}
    low, middle, high = np.percentile(seconds, [2.5, 50, 97.5])
    values["seconds_per_ct"] = {"value": middle, "low": low, "high": high}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    values["peak_gb"] = {"value": peak, "low": None, "high": None}
    new = rows(arguments.name, values, len(matched), sum(len(each.nodules) for each in matched))
    load = f"{os.getloadavg()[0]:.1f}"
    table = pd.DataFrame(new).assign(threads=torch.get_num_threads(), load=load)
    print(table.to_string(index=False))
    if arguments.out.is_file():
        before = pd.read_csv(arguments.out, dtype=str, keep_default_na=False)
        table = pd.concat([before[before.data != arguments.name], table])
    write_text(arguments.out, table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
