"""What bookkeeping costs, by the number of nodules: seconds and memory that no voxel takes part in.

    python benchmarks/scale.py [--rows 1000 3000 10000] [--slices N] [--csv FILE]

A synthetic cohort of one nodule a scan (made-up UIDs, no pixels) is put down with the package's own writers, as it lies
after `ctxai ingest`. Measured, each in a process of its own that has imported what it needs:

- store: an empty store for all rows;
- manifest: all rows read;
- shard: the manifest read, and the rows and headers of one shard of 100 scans;
- no-op ingest: every scan of the cohort found done, by the checksum of its headers and rows, in one process;
- merge: the table of the store written from the part files of all scans;
- DAG: a dry run of the whole workflow, 20 scans in an ingestion job and 5 in one of explanation (a fold is a fifth);
- no-op workflow: a dry run of the same after all of it was done.

Processor seconds, not wall time, because they hardly depend on what else the machine does. The column `per_row` is the
time for a row beside that at the smallest number of rows: up to 1 is linear or better.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from ctxai.commands.ingest import ingest
from ctxai.ct.geometry import GeometryRules
from ctxai.ct.header import SliceHeader
from ctxai.ct.header_table import read_headers, write_headers
from ctxai.ct.pixels import PixelLayout
from ctxai.data.store import NoduleStore
from ctxai.files import write_text
from ctxai.ingestion.bookkeeping import KNOWN, MANIFEST, part_of, read_manifest, write_findings
from ctxai.ingestion.extraction import images_of
from ctxai.ingestion.jobs import digest_of, shard_rows
from ctxai.lidc.annotations import load_manifest

REPOSITORY = Path(__file__).parents[1]
SNAKEFILE = REPOSITORY / "pipelines" / "Snakefile"
WORKFLOWS = ("DAG", "no-op workflow")
MEASURES = ("store", "manifest", "shard", "no-op ingest", "merge")
SCANS_PER_SHARD = 100
COLUMNS = ("rows", "slices", "what", "cpu_seconds", "seconds", "peak_mb", "per_row")


def make_cohort(folder: Path, rows: int, slices: int) -> None:
    """Put down manifest, headers and part files of ``rows`` scans as a finished ingestion leaves them."""
    table = load_manifest().iloc[np.arange(rows) % len(load_manifest())].reset_index(drop=True)
    table["series_uid"] = [f"2.25.{number}" for number in range(10**6, 10**6 + rows)]
    table["nodule_id"] = [f"{patient}-{number:06d}" for number, patient in enumerate(table.patient_id)]
    store, tree, rules = folder / "store", folder / "dicom", GeometryRules()
    write_text(store / MANIFEST, table.to_csv(index=False, lineterminator="\n"))
    write_findings(store / KNOWN, [])
    series = {
        uid: _headers(tree / patient / uid, uid, patient, slices)
        for uid, patient in zip(table.series_uid, table.patient_id, strict=True)
    }
    write_headers(folder / "headers.parquet", tree, series)
    where = {"x": 1.0, "y": 2.0, "z": 3.0, "slice_spacing_mm": 2.5, "slice_thickness_mm": 2.5}
    said = {"manufacturer": "SYNTHETIC", "fault": "", "repairs": ""}
    for uid, group in read_manifest(store).groupby("series_uid", sort=False):
        records = [{"row": int(row), **where, **said} for row in group.index]
        content = {
            "digest": digest_of(group.to_csv(lineterminator="\n"), images_of(series[uid]), rules),
            "images": {},
            "rows": records,
        }
        path = part_of(store, uid)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2))


def _headers(folder: Path, uid: str, patient: str, slices: int) -> list[SliceHeader]:
    orientation = np.array([1.0, 0, 0, 0, 1, 0])
    return [
        SliceHeader(
            *(folder / f"{number:04d}.dcm", f"{uid}.{number}", uid, f"{uid}.0", patient, f"{uid}.9"),
            *(np.array([-180.0, -180.0, 2.5 * number]), orientation, (0.7, 0.7), 512, 512, True),
            **{"slope": 1.0, "intercept": -1024.0, "image_type": ("ORIGINAL", "PRIMARY", "AXIAL")},
            **{"slice_thickness_mm": 2.5, "manufacturer": "SYNTHETIC", "modality": "CT", "instance_number": number},
            layout=PixelLayout(16, 16, 15, True),
        )
        for number in range(1, slices + 1)
    ]


def work_of(what: str, folder: Path, rows: int) -> Callable[[], object]:
    """What is measured under a name."""
    store, tree, headers = folder / "store", folder / "dicom", folder / "headers.parquet"

    def shard() -> None:
        own = shard_rows(read_manifest(store), 0, max(rows // SCANS_PER_SHARD, 1))
        read_headers(headers, tree, set(own.series_uid))

    return {
        "store": lambda: NoduleStore.create(store, rows),
        "manifest": lambda: read_manifest(store),
        "shard": shard,
        "no-op ingest": lambda: ingest(tree, store, headers=headers),
        "merge": lambda: ingest(merge=store),
    }[what]


def measure(what: str, folder: Path, rows: int) -> None:
    """Print processor seconds, seconds and the peak memory (MB) of one piece of bookkeeping in this process."""
    work = work_of(what, folder, rows)
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(time.process_time() - cpu, time.perf_counter() - begin, peak)


def measured(what: str, folder: Path, rows: int) -> list[float]:
    """:func:`measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, str(folder), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    print(f"  {what}: {done.stdout.strip()}", file=sys.stderr, flush=True)
    return [float(number) for number in done.stdout.split()[-3:]]


def snakemake(folder: Path, *arguments: str) -> list[float]:
    """Processor seconds, seconds and peak memory (MB) of a call of Snakemake on the whole workflow."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", SNAKEFILE, "--configfile", "my.yaml", "--quiet", "all"]
    profile = REPOSITORY / "pipelines" / "profiles" / "local"
    command += ["--workflow-profile", profile, "--scheduler", "greedy", *arguments]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    begin = time.perf_counter()
    with (folder / "snakemake.log").open("w") as log:
        child = subprocess.Popen(list(map(str, command)), cwd=folder, env=environment, stdout=log, stderr=log)
        usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(usage[1])
    if child.returncode:
        raise RuntimeError((folder / "snakemake.log").read_text()[-2000:])
    print(f"  snakemake {' '.join(arguments)}: {usage[2].ru_utime:.2f}", file=sys.stderr, flush=True)
    return [usage[2].ru_utime + usage[2].ru_stime, time.perf_counter() - begin, usage[2].ru_maxrss / 1024]


def measure_workflow(folder: Path, rows: int) -> dict[str, list[float]]:
    """A dry run of everything, then one after everything was marked as done."""
    (folder / "dicom").mkdir(exist_ok=True)
    shards = {"ingest": max(rows // 20, 1), "explain": max(rows // 5 // 5, 1)}
    config = {"out": "out", "dicom": "dicom"} | {stage: {"shards": count} for stage, count in shards.items()}
    (folder / "my.yaml").write_text(yaml.safe_dump(config))
    first = snakemake(folder, "--dry-run")
    out, state = folder / "out", folder / "out" / "state"
    names = [f"ingest-{k}-of-{shards['ingest']}" for k in range(shards["ingest"])]
    names += [f"explain-fold0-{k}-of-{shards['explain']}" for k in range(shards["explain"])]
    places = [state / f"{name}.done" for name in [*names, "manifest", "train-fold0", "evaluate-fold0"]]
    for path in [*places, out / "store" / "nodules.parquet", out / "explained" / "fold0" / "report.html"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    snakemake(folder, "--touch", "--forceall")
    again = snakemake(folder, "--dry-run")
    return dict(zip(WORKFLOWS, (first, again), strict=True))


def measure_all(rows: int, slices: int, scratch: Path) -> dict[str, list[float]]:
    """Everything at one number of rows."""
    folder = scratch / str(rows)
    folder.mkdir()
    print(f"{rows} rows ...", file=sys.stderr, flush=True)
    make_cohort(folder, rows, slices)
    return {what: measured(what, folder, rows) for what in MEASURES} | measure_workflow(folder, rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 3000, 10_000])
    parser.add_argument("--slices", type=int, default=30, help="slices of each scan")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--measure", nargs=3, metavar=("WHAT", "FOLDER", "ROWS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, folder, rows = arguments.measure
        measure(what, Path(folder), int(rows))
        return
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        found = {rows: measure_all(rows, arguments.slices, Path(scratch)) for rows in arguments.rows}
    smallest = min(found)
    for what in (*MEASURES, *WORKFLOWS):
        for rows, figures in found.items():
            cpu, seconds, peak = figures[what]
            ratio = (cpu / rows) / (found[smallest][what][0] / smallest)
            lines.append((rows, arguments.slices, what, f"{cpu:.3f}", f"{seconds:.2f}", f"{peak:.0f}", f"{ratio:.2f}"))
            print(f"{what:<15} {rows:>6} rows {cpu:8.3f} s CPU {seconds:8.2f} s {peak:6.0f} MB  {ratio:5.2f} x per row")
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS, *lines])


if __name__ == "__main__":
    main()
