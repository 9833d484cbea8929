"""Memory and output of ``ctxai explain`` with all formats, for synthetic CTs of several sizes.

    python benchmarks/explain_memory.py [--sizes 600x512 300x1024] [--formats NAME,NAME] [--csv FILE]

Every CT is soft tissue and lung with a scanner's noise, six nodules from apex to base are outlined in a Segmentation,
and the shipped run explains them by its default methods in a process of its own. Memory is the greatest resident set of
that process, as the kernel counts it: about 1 GB of it are the libraries (a PyTorch for CUDA). Output is the size of
the result folder as a multiple of the CT's files. Goals: 2.5 GB for 300 x 1024 x 1024 voxels, 1.6 GB for
600 x 512 x 512, output at most 3 times the CT.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from ctxai.ct.series import read_series
from ctxai.export import Provenance, SegmentedNodule, SourceSeries, write_nodule_segmentation
from ctxai.inference.formats.base import format_names

from synthetic_ct import ct_grid, write_ct

SIZES = ("600x512", "300x1024")
#: GB.
MEMORY_GOAL = {"600x512": 1.6, "300x1024": 2.5}
OUTPUT_GOAL = 3.0
FIELD_OF_VIEW_MM = 360.0
LENGTH_MM = 300.0
NODULES = 6
COLUMNS = ("slices", "rows", "formats", "peak_gb", "goal_gb", "output_times_ct", "goal_output", "seconds")


def make_ct(folder: Path, slices: int, rows: int) -> Path:
    """Write a CT with two nodules; returns the Segmentation of their outlines."""
    spacing = (FIELD_OF_VIEW_MM / rows, FIELD_OF_VIEW_MM / rows, LENGTH_MM / slices)
    grid = ct_grid((slices, rows, rows), spacing, (-FIELD_OF_VIEW_MM / 2, -FIELD_OF_VIEW_MM / 2, 0.0))
    across = (np.arange(rows) + 0.5) / rows - 0.5
    body = (across[:, None] / 0.4) ** 2 + (across / 0.47) ** 2 < 1
    lung = (across[:, None] / 0.3) ** 2 + ((np.abs(across) - 0.2) / 0.15) ** 2 < 1
    plane = np.where(lung, -850, np.where(body, 40, -1000)).astype(np.int16)
    labels = np.zeros((slices, rows, rows), np.uint8)
    for number in range(1, NODULES + 1):
        left, behind = 72.0 * (-1) ** number, 40.0 * np.sin(number)
        middle = FIELD_OF_VIEW_MM / 2
        centre = LENGTH_MM * number / (NODULES + 1), middle + behind, middle + left
        axes = np.meshgrid(*(np.arange(n) for n in labels.shape), indexing="ij", sparse=True)
        distance = sum((axis * step - at) ** 2 for axis, step, at in zip(axes, spacing[::-1], centre, strict=True))
        labels[distance < 8.0**2] = number
    noise = np.random.default_rng(0)
    hu = np.empty(labels.shape, np.int16)
    for k, label in enumerate(labels):
        hu[k] = np.where(label > 0, 20, plane) + np.rint(noise.normal(0, 20, plane.shape)).astype(np.int16)
    write_ct(folder / "ct", hu.clip(-1024, 3071), grid)
    source = SourceSeries.from_series(read_series(folder / "ct"))
    outlines = folder / "outlines.dcm"
    nodules = [SegmentedNodule(f"nodule-{number}") for number in range(1, NODULES + 1)]
    write_nodule_segmentation(outlines, labels, nodules, source, Provenance("benchmark", "outlines"))
    return outlines


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(size: str, formats: str) -> dict[str, object]:
    """One row of the table."""
    slices, rows = map(int, size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = os.fork()  # so that the memory of making the CT is another process's
        if not made:
            make_ct(folder, slices, rows)
            os._exit(0)
        if os.waitpid(made, 0)[1]:
            raise SystemExit("the CT could not be made")
        begin = time.perf_counter()
        command = ["explain", folder / "ct", folder / "out", "--points", folder / "outlines.dcm", "--formats", formats]
        process = subprocess.Popen([sys.executable, "-m", "ctxai", *map(str, command)])
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{size}: ctxai explain ended with {os.waitstatus_to_exitcode(status)}")
        return {
            "slices": slices,
            "rows": rows,
            "formats": formats,
            "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
            "goal_gb": MEMORY_GOAL.get(size, ""),
            "output_times_ct": round(size_of(folder / "out") / size_of(folder / "ct"), 2),
            "goal_output": OUTPUT_GOAL,
            "seconds": round(time.perf_counter() - begin, 1),
        }


def main() -> None:
    """Measure every size and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="SLICESxROWS")
    parser.add_argument("--formats", default=",".join(format_names()))
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    table = []
    for size in arguments.sizes:
        table.append(measure(size, arguments.formats))
        print(", ".join(f"{name} {value}" for name, value in table[-1].items()), flush=True)
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
