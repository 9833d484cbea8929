# ruff: noqa: E402 (threads are set before the libraries that read them are imported)
"""Speed, memory and bytes of ingestion beside other ways to the same patches, on the same phantom series in one run.

Run: ``python benchmarks/ingest.py [--patients ID …] [--csv FILE]``. Prints a table; asserts nothing. The others are

- pylidc: its own way, ``Scan.to_volume`` and ``consensus`` of every nodule (no patch is cut), in a process of its own;
- ConRad: the published recipe, pylidc's volume and consensus, the whole volume resampled to 1 mm by SimpleITK (once per
  scan), then a cube about every nodule;
- SimpleITK: its series reader alone, no nodule;
- the floor: a raw read of the slices that the patches touch, pydicom's parse of every header, and for each patch one
  resampling and one compression, by the libraries that ingestion uses.

Each is measured from files in the page cache, on one thread, as the median of several rounds; ratios are to ingestion.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "BLOSC_NTHREADS"):
    os.environ[variable] = "1"

import numcodecs
import numpy as np
import pydicom
import SimpleITK as sitk

from ctxai.ct.geometry import GeometryRules
from ctxai.ct.grid import Grid
from ctxai.ct.patch import resample, slices_touched
from ctxai.ct.search import find_series
from ctxai.ct.series import CTSeries
from ctxai.data.store import NoduleStore
from ctxai.ingestion.extraction import ingest_series
from ctxai.lidc.annotations import load_manifest
from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import LidcDatabase, Scan
from ctxai.phantom import make_series, series_folder

ROUNDS = 5
SHAPE = (64, 64, 64)

_PYLIDC = """
import sys, time
import numpy as np
np.int = int
import SimpleITK as sitk
import pylidc
from pylidc.utils import consensus

sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

def own_way(scan):
    volume = scan.to_volume(verbose=False)
    boxes = [consensus(c, clevel=0.5)[1] for c in scan.cluster_annotations(verbose=False) if 3 <= len(c) <= 4]
    return volume, boxes

def recipe(scan):
    volume, boxes = own_way(scan)
    spacing = np.array([scan.pixel_spacing, scan.pixel_spacing, scan.slice_spacing])
    image = sitk.GetImageFromArray(volume.transpose(2, 0, 1).astype(np.float32))
    image.SetSpacing(spacing.tolist())
    size = [round(n * s) for n, s in zip(image.GetSize(), spacing.tolist())]
    whole = sitk.GetArrayFromImage(sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), [1.0] * 3, image.GetDirection(), -1024.0))
    for box in boxes:
        centre = np.array([(side.start + side.stop) / 2 for side in box]) * spacing
        corner = np.clip(centre[[2, 0, 1]].astype(int) - 32, 0, None)
        whole[tuple(slice(a, a + 64) for a in corner)].copy()

way = {"pylidc": own_way, "recipe": recipe}[sys.argv[1]]
times = []
for _ in range(int(sys.argv[3])):
    scan = pylidc.query(pylidc.Scan).filter(pylidc.Scan.series_instance_uid == sys.argv[2]).one()
    begin = time.perf_counter()
    way(scan)
    times.append(time.perf_counter() - begin)
print(sorted(times)[len(times) // 2])
"""


class Case:
    """One scan: its files, and the nodules that the default cohort uses."""

    def __init__(self, scan: Scan, tree: Path, database: LidcDatabase, scratch: Path) -> None:
        self.scan, self.tree, self.database, self.scratch = scan, tree, database, scratch
        self.folder = series_folder(scan, tree)
        rows = load_manifest()
        self.rows = rows[rows.series_uid == scan.series_uid].reset_index(drop=True)

    def ours(self) -> None:
        """Headers, outlines, patches, and a store with its part file, as ``ctxai ingest`` does for every series."""
        (headers,) = find_series(self.folder).values()
        store = Path(tempfile.mkdtemp(dir=self.scratch)) / "store"
        NoduleStore.create(store, len(self.rows))
        nodules = self.database.nodules(self.scan)
        ingest_series(store, self.rows, headers, nodules, store / "part.json", "", GeometryRules())

    def pylidc(self, way: str, rounds: int) -> float:
        """Seconds of ``pylidc``'s own way or of the ``recipe`` on top of it."""
        home = Path(tempfile.mkdtemp(dir=self.scratch))
        (home / ".pylidcrc").write_text(f"[dicom]\npath = {self.tree}\nwarn = False\n")
        command = [sys.executable, "-W", "ignore", "-c", _PYLIDC, way, self.scan.series_uid, str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": str(home)})
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return float(done.stdout.split()[-1])

    def simpleitk(self) -> sitk.Image:
        """The series by SimpleITK's reader."""
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(self.folder)))
        return reader.Execute()

    def floor(self) -> None:
        """What no way can leave out; the places of the patches are given."""
        for path in sorted(self.folder.iterdir()):
            pydicom.dcmread(path, stop_before_pixels=True)
        grid, patches, files = self.places
        size = grid.shape[1] * grid.shape[2] * 2
        slices = {}
        for number in sorted({n for start, stop, _ in patches for n in range(start, stop)}):
            slices[number] = np.frombuffer(files[number].read_bytes()[-size:], "<i2").reshape(grid.shape[1:])
        codec = numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)
        for start, stop, patch in patches:
            slab = np.stack([slices[n] for n in range(start, stop)])
            source = grid.crop((start, 0, 0), slab.shape)
            codec.encode(np.rint(resample(slab, source, patch)).astype(np.int16))

    def place(self) -> None:
        """Work out, outside any measurement, what the floor is given."""
        (headers,) = find_series(self.folder).values()
        series = CTSeries(headers)
        patches = []
        for centre in self.centres():
            patch = Grid.cube(centre, SHAPE, 1.0)
            patches.append((*slices_touched(series.grid, patch), patch))
        self.places = (series.grid, patches, [header.path for header in series.headers])

    def centres(self) -> list[np.ndarray]:
        """Centres of the used nodules, LPS mm."""
        if not hasattr(self, "_centres"):
            (headers,) = find_series(self.folder).values()
            series = CTSeries(headers)
            wanted = set(self.rows.nodule_id)
            self._centres = [
                series.grid.to_lps(reader_masks(nodule, series.slice_z_mm).centre_index()[::-1])
                for nodule in self.database.nodules(self.scan)
                if nodule.nodule_id in wanted
            ]
        return self._centres

    @property
    def size(self) -> tuple[str, int, int]:
        """Patient, number of slices, number of nodules."""
        return self.scan.patient_id, len(self.places[2]), len(self.rows)

    def bytes_needed(self) -> int:
        """Pixels of the slices that a patch touches, and the header of every slice."""
        grid, patches, files = self.places
        size = grid.shape[1] * grid.shape[2] * 2
        touched = {n for start, stop, _ in patches for n in range(start, stop)}
        return len(touched) * size + sum(path.stat().st_size - size for path in files)


def seconds(work: Callable[[], object]) -> float:
    """Median wall time of a few rounds, after one that warms the caches."""
    work()
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def bytes_read(work: Callable[[], object]) -> int:
    """Bytes that this process asks the system to read (Linux)."""

    def so_far() -> int:
        return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])

    before = so_far()
    work()
    return so_far() - before


def peak_mb(case: Case) -> tuple[float, float]:
    """Peak resident memory of a process before and after it ingests the scan."""
    command = [sys.executable, __file__, "--peak", case.scan.series_uid, str(case.tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split()[-2:])
    return before, after


def measure_peak(series_uid: str, tree: Path) -> None:
    """Print the peak memory before and after ingesting one scan, in MB."""
    database = LidcDatabase()
    with tempfile.TemporaryDirectory() as scratch:
        case = Case(database.by_series[series_uid], tree, database, Path(scratch))
        before = high_water_mb()
        case.ours()
    print(before, high_water_mb())


def high_water_mb() -> float:
    """Peak resident memory of this process so far (Linux; getrusage would count the process that started it)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", nargs="+", default=["LIDC-IDRI-0003", "LIDC-IDRI-0572"])
    parser.add_argument("--tree", type=Path, help="phantom tree to use or make")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--peak", nargs=2, metavar=("SERIES", "TREE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        measure_peak(arguments.peak[0], Path(arguments.peak[1]))
        return
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    numcodecs.blosc.set_nthreads(1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB"
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        database = LidcDatabase()
        tree = arguments.tree or Path(scratch) / "dicom"
        for patient in arguments.patients:
            scan = next(scan for scan in database.scans if scan.patient_id == patient)
            make_series(scan, database.nodules(scan), tree, margin_mm=1000)
            case = Case(scan, tree, database, Path(scratch))
            case.place()
            times = {
                "ctxai": seconds(case.ours),
                "floor": seconds(case.floor),
                "SimpleITK reader": seconds(case.simpleitk),
                "pylidc": case.pylidc("pylidc", ROUNDS),
                "ConRad recipe": case.pylidc("recipe", ROUNDS),
            }
            before, after = peak_mb(case)
            print(f"\n{patient}: {len(case.places[2])} slices, {len(case.rows)} nodule(s); {machine}")
            for name, value in times.items():
                ratio = value / times["ctxai"]
                print(f"  {name:<18} {value:8.3f} s   {ratio:6.2f} x ctxai")
                lines.append(
                    [patient, len(case.places[2]), len(case.rows), name, f"{value:.4f}", f"{ratio:.2f}", machine]
                )
            share = bytes_read(case.ours) / case.bytes_needed()
            print(f"  bytes read / needed {share:.2f};  peak memory {before:.0f} MB imported, {after:.0f} MB ingesting")
            facts = {"bytes read / needed": share, "peak MB imported": before, "peak MB": after}
            lines += [[*case.size, name, f"{value:.4g}", "", machine] for name, value in facts.items()]
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["patient", "slices", "nodules", "what", "value", "ratio_to_ctxai", "machine"])
            writer.writerows(lines)


if __name__ == "__main__":
    main()
