"""Time and memory of writing objects for a 300-slice CT, as ratios to highdicom's own constructor on the same arrays.

Run: ``python benchmarks/export.py [--slices N]``. Prints a table; asserts nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.uid import generate_uid

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from ctxai.ct.grid import Grid
from ctxai.ct.patch import resample
from ctxai.ct.series import read_series
from ctxai.export import (
    Provenance,
    SegmentedNodule,
    SourceSeries,
    codes,
    merge_maps,
    write_nodule_segmentation,
    write_parametric_map,
)

from synthetic_ct import ct_grid, write_ct

REPEATS = 3


def seconds(work: Callable[[], object]) -> float:
    """Median wall time of a few runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def plain_parametric_map(path: Path, stored: np.ndarray, source: SourceSeries) -> None:
    """What highdicom writes by itself: frames descending, random UIDs, the present as date."""
    mapping = hd.pm.RealWorldValueMapping("map", "map", codes.NO_UNITS, (0.0, 1.0), 1.0, 0.0)
    hd.pm.ParametricMap(
        source.images,
        stored,
        generate_uid(),
        1,
        generate_uid(),
        1,
        "maker",
        "model",
        "1",
        "1",
        False,
        [mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(0.5, 1.0)],
    ).save_as(path)


def plain_segmentation(path: Path, labels: np.ndarray, source: SourceSeries) -> None:
    """What highdicom writes by itself, given the whole volume."""
    segment = hd.seg.SegmentDescription(1, "nodule", codes.ABNORMAL_STRUCTURE, codes.NODULE, "MANUAL")
    hd.seg.Segmentation(
        source.images,
        labels,
        "BINARY",
        [segment],
        generate_uid(),
        1,
        generate_uid(),
        1,
        "maker",
        "model",
        "1",
        "1",
    ).save_as(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    slices = parser.parse_args().slices
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = ct_grid((slices, 512, 512), (0.7, 0.7, 1.0), (-180.0, -180.0, -300.0))
        write_ct(folder / "ct", np.zeros(grid.shape, dtype=np.int16), grid)
        source = SourceSeries.from_series(read_series(folder / "ct"))
        rng = np.random.default_rng(0)
        places = [grid.to_lps(np.array([100.0 + 60 * i, 256, slices * (i + 1) / 6])) for i in range(5)]
        patches = [(rng.normal(size=(64, 64, 64)).astype(np.float32), Grid.cube(p, (64, 64, 64), 1.0)) for p in places]
        volume = np.abs(merge_maps(patches, grid))
        stored = volume / volume.max()
        labels = np.zeros(grid.shape, dtype=np.uint8)
        labels[slices // 2 : slices // 2 + 20, 200:220, 200:220] = 1
        provenance = Provenance("CDAM", "malignancy")
        nodule = [SegmentedNodule("nodule")]
        rows = [
            (
                "five patches on the CT grid / each resampled on the whole CT",
                lambda: merge_maps(patches, grid),
                lambda: [resample(values, patch, grid) for values, patch in patches],
            ),
            (
                "parametric map / highdicom alone",
                lambda: write_parametric_map(folder / "a.dcm", volume, source, provenance),
                lambda: plain_parametric_map(folder / "b.dcm", stored, source),
            ),
            (
                "segmentation, 20 slices / highdicom alone",
                lambda: write_nodule_segmentation(folder / "c.dcm", labels, nodule, source, provenance),
                lambda: plain_segmentation(folder / "d.dcm", labels, source),
            ),
        ]
        print(f"{slices} x 512 x 512 voxels, median of {REPEATS}")
        for title, ours, peer in rows:
            mine, other = seconds(ours), seconds(peer)
            print(f"{title}: {mine:.2f} s / {other:.2f} s = {mine / other:.2f}")


if __name__ == "__main__":
    main()
