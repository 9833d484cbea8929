"""What a scan, a nodule and a map cost, and what follows for LIDC-IDRI, NLST and a hospital's year.

    python benchmarks/cost.py --measure SERIES_FOLDER [--csv FILE]    # one CT series of LIDC-IDRI; some minutes
    python benchmarks/cost.py                                        # the tables of docs/scaling.md, from the CSVs

Measured are whole commands with the run that comes with the package, on one thread: processor seconds, bytes written
and peak memory. What a step costs is the difference of two commands. The larger network's passes come from explain.csv,
ingestion's seconds for a slice and a nodule from ingest.csv.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
#: Commands, and what they are given after the CT.
COMMANDS = {
    "ingest": ("ingest", ()),
    "predict": ("explain", ("--no-maps",)),
    "one map": ("explain", ("--no-trust", "--formats", "nifti,pmap,seg")),
}
COLUMNS = ("command", "slices", "nodules", "cpu_seconds", "megabytes_written", "peak_mb")

#: Scans; slices and nodules of each are taken to be LIDC-IDRI's.
COHORTS = {"LIDC-IDRI": 1018, "NLST": 26_000, "hospital year": 1_000_000}
SCANS_PER_JOB = 20
SECONDS_PER_JOB = 10  # until SLURM has been seen to have finished it
FOLDS, EPOCHS = 5, 50
#: Of ViT-S/8 at 224 pixels: 12 blocks on 785 tokens of width 384; a multiplication and an addition count as two.
GFLOP_PER_PASS = 12 * (24 * 384**2 * 785 + 4 * 785**2 * 384) / 1e9
#: Nothing was measured on a GPU: what one is taken to sustain on such a network, in TFLOP/s.
ASSUMED_TFLOPS = 50
#: Forward and backward, in forward passes.
TRAINING_PASSES = 3
#: Of judging a map of CDAM, for each view: the random maps, its own fidelity, and the map made eight times anew (see
#: ``ctxai.evaluate.map_quality.MapReliability``).
JUDGING_PASSES = 163 + 16 + 8


@dataclass(frozen=True)
class Unit:
    """What one thing costs.

    Attributes:
        seconds: of one processor core, or None where it is not a matter of a core.
        megabytes: on the disk.
    """

    name: str
    seconds: float | None
    megabytes: float | None
    source: str


def measure(series: Path) -> list[tuple[object, ...]]:
    """Run every command on one CT series."""
    slices = sum(1 for path in series.rglob("*") if path.is_file() and path.suffix == ".dcm")
    lines: list[tuple[object, ...]] = [
        ("CT", slices, 1, "", _megabytes(series), ""),
    ]
    for name, (stage, options) in COMMANDS.items():
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "out"
            command = [sys.executable, "-m", "ctxai", stage, str(series), str(out), *options]
            child = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1", "BLOSC_NTHREADS": "1"})
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                raise RuntimeError(f"{' '.join(command)} failed")
            cpu = usage.ru_utime + usage.ru_stime
            lines.append((name, slices, 1, f"{cpu:.2f}", _megabytes(out), f"{usage.ru_maxrss / 1024:.0f}"))
            print(*lines[-1])
    return lines


def _megabytes(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:.3f}"


def read(name: str) -> list[dict[str, str]]:
    """Rows of a file of results."""
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def units() -> dict[str, Unit]:
    """What each thing costs, from the CSVs."""
    measured = {row["command"]: row for row in read("cost.csv")}
    cpu = {name: float(row["cpu_seconds"] or 0) for name, row in measured.items()}
    written = {name: float(row["megabytes_written"]) for name, row in measured.items()}
    (slices, nodules, seconds), (slices_2, nodules_2, seconds_2) = (
        (int(row["slices"]), int(row["nodules"]), float(row["value"]))
        for row in read("ingest.csv")
        if row["what"] == "ctxai"
    )
    determinant = slices * nodules_2 - slices_2 * nodules
    a_slice = (seconds * nodules_2 - seconds_2 * nodules) / determinant
    a_nodule = (slices * seconds_2 - slices_2 * seconds) / determinant
    one = next(row for row in read("explain.csv") if row["model"] == "vit_small_patch8_224" and row["method"] == "CDAM")
    ct_slices = int(measured["CT"]["slices"])
    found = [
        Unit("image of a CT, as DICOM", None, written["CT"] / ct_slices, "cost.csv"),
        Unit("ingest: header of an image", a_slice, None, "ingest.csv"),
        Unit("ingest: nodule", a_nodule, written["ingest"], "ingest.csv, cost.csv"),
        Unit("ingest: start of a job", cpu["ingest"] - ct_slices * a_slice - a_nodule, None, "cost.csv"),
        Unit("explain: start of a job and one prediction", cpu["predict"], None, "cost.csv"),
        Unit("explain: scan, with its first map", cpu["one map"] - cpu["predict"], written["one map"], "cost.csv"),
        Unit("ViT-S/8: CDAM of one image", float(one["seconds"]) / int(one["batch"]), None, "explain.csv"),
    ]
    return {unit.name: unit for unit in found}


def cohort() -> dict[str, float]:
    """What a scan of LIDC-IDRI has on the average, by the tables of `ctxai manifest`."""
    from ctxai.data.settings import ViewConfig
    from ctxai.lidc.annotations import load_tables, used_rows

    tables = load_tables()
    used = used_rows(tables)
    return {
        "slices": tables["scans"].slices.mean(),
        "nodules": len(used) / len(tables["scans"]),
        "images": float(len(ViewConfig().views)),
    }


def estimates() -> list[dict[str, float | str]]:
    """What a cohort costs, with ViT-S/8 on three views: one ingestion, five folds, one judged map of each nodule."""
    cost, mean = units(), cohort()
    seconds = {name: unit.seconds or 0.0 for name, unit in cost.items()}
    megabytes = {name: unit.megabytes or 0.0 for name, unit in cost.items()}
    explained = mean["images"] + 3 * JUDGING_PASSES
    found = []
    for name, scans in COHORTS.items():
        nodules = scans * mean["nodules"]
        jobs = 2 * scans / SCANS_PER_JOB
        ingest = scans * mean["slices"] * seconds["ingest: header of an image"]
        ingest += nodules * seconds["ingest: nodule"] + jobs / 2 * seconds["ingest: start of a job"]
        around = scans * seconds["explain: scan, with its first map"]
        around += jobs / 2 * seconds["explain: start of a job and one prediction"]
        network = nodules * explained * seconds["ViT-S/8: CDAM of one image"]
        passes = nodules * explained
        training = FOLDS * EPOCHS * 0.6 * nodules * 3 * TRAINING_PASSES
        tera = ASSUMED_TFLOPS * 1000 * 3600
        found.append(
            {
                "cohort": name,
                "scans": scans,
                "core-hours, ingest": ingest / 3600,
                "core-hours, explain: files": around / 3600,
                "core-hours, explain: network": network / 3600,
                "GPU-hours, explain: network": passes * GFLOP_PER_PASS / tera,
                "GPU-hours, train": training * GFLOP_PER_PASS / tera,
                "DICOM to read, TB": scans * mean["slices"] * megabytes["image of a CT, as DICOM"] / 1e6,
                "store, GB": nodules * megabytes["ingest: nodule"] / 1e3,
                "results, TB": scans * megabytes["explain: scan, with its first map"] / 1e6,
                "files of DICOM, million": scans * mean["slices"] / 1e6,
                "hours of scheduling": jobs * SECONDS_PER_JOB / 3600,
            }
        )
    return found


def markdown() -> tuple[str, str]:
    """The tables of docs/scaling.md: what each thing costs, and what cohorts cost."""
    lines = ["| what | core-seconds | MB written | from |", "|---|---|---|---|"]
    for unit in units().values():
        figures = ["" if value is None else f"{value:.3g}" for value in (unit.seconds, unit.megabytes)]
        lines.append(f"| {unit.name} | {figures[0]} | {figures[1]} | {unit.source} |")
    rows = estimates()
    total = [f"| | {' | '.join(str(row['cohort']) for row in rows)} |", f"|---|{'---|' * len(rows)}"]
    for name in list(rows[0])[1:]:
        total.append(f"| {name} | {' | '.join(_short(row[name]) for row in rows)} |")
    return "\n".join(lines), "\n".join(total)


def _short(value: float | str) -> str:
    """Two digits: more are not known."""
    number = float(value)
    if number >= 100:
        digits = len(str(int(number))) - 2
        return f"{round(number, -digits):,.0f}" if number not in COHORTS.values() else f"{number:,.0f}"
    return f"{number:.2g}"


def main() -> None:
    """Measure, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", type=Path, metavar="SERIES_FOLDER")
    parser.add_argument("--csv", type=Path, default=RESULTS / "cost.csv")
    arguments = parser.parse_args()
    if arguments.measure is None:
        print(*markdown(), sep="\n\n")
        return
    lines = measure(arguments.measure)
    with arguments.csv.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *lines])


if __name__ == "__main__":
    main()
