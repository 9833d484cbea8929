"""Volumes that take memory only where they are not 0, and writers that keep it so."""

import subprocess
import sys

import numpy as np
import pytest

from ctxai.export.sparse import SparseVolume, zeros

from synthetic_ct import ct_grid, write_ct


def test_zeros_are_an_array_of_zeros_that_can_be_written():
    volume = zeros((3, 4, 5), np.float32)
    assert volume.shape == (3, 4, 5) and volume.dtype == np.float32 and not volume.any()
    volume[1, 2, 3] = 7
    assert volume.sum() == 7
    assert zeros((0, 2), np.uint8).size == 0


def test_rows_with_content_are_those_from_the_first_value_to_the_last():
    volume = np.zeros((4, 6, 5), np.float32)
    volume[1, 2, 0] = volume[1, 4, 3] = -1
    volume[3, 5, 4] = np.nan
    assert SparseVolume.of(volume).rows == ((1, slice(2, 5)), (3, slice(5, 6)))
    assert SparseVolume.of(np.zeros((2, 3, 3))).rows == ()


def test_places_are_searched_together_and_nothing_else_is():
    volume = np.zeros((4, 6, 5), np.float32)
    volume[1, 1, 0] = volume[1, 4, 3] = volume[2, 0, 0] = 1
    places = [(slice(1, 2), slice(0, 3), slice(0, 5)), (slice(0, 2), slice(4, 6))]
    assert SparseVolume.within(volume, places).rows == ((1, slice(1, 5)),)


def test_a_function_is_applied_where_the_content_is_and_what_becomes_0_is_left_out():
    volume = np.zeros((4, 6, 5), np.float32)
    volume[1, 1:4] = [[-1], [0], [2]]
    volume[2, 2] = -3
    positive = SparseVolume.of(volume).map(lambda values: np.maximum(values, 0), np.float32)
    np.testing.assert_array_equal(positive.array, np.maximum(volume, 0))
    assert positive.rows == ((1, slice(3, 4)),)


@pytest.mark.parametrize("places", [[], [(0, 0, 0)], [(0, 2, 1), (0, 4, 4), (1, 0, 0), (3, 5, 4)]])
def test_runs_are_the_bytes_of_the_array_in_their_order(places):
    volume = np.zeros((4, 6, 5), np.float32)
    for number, place in enumerate(places, start=1):
        volume[place] = number
    runs = [bytes(run) for run in SparseVolume.of(volume).runs()]  # bytes of a number are as many zeros
    assert b"".join(runs) == volume.tobytes()


WRITE = """
import sys
from pathlib import Path
import numpy as np
from ctxai.ct.series import read_series
from ctxai.export import (Provenance, SegmentedNodule, SourceSeries, write_fractional_evidence, write_heat_bands,
    write_nodule_segmentation, write_parametric_map)
from ctxai.export.nifti import write_nifti, write_nifti_ct
from ctxai.export.sparse import zeros

def peak():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

def write(ct):
    series, out = read_series(ct), ct / "out"
    source = SourceSeries.from_series(series)
    how = Provenance("cdam", "malignancy")
    volume, labels = zeros(series.grid.shape, np.float32), zeros(series.grid.shape, np.uint16)
    middle = len(volume) // 2
    volume[middle - 8 : middle + 8, 10:50, 10:50] = np.linspace(-1, 1, 40)
    labels[middle - 8 : middle + 8, 10:50, 10:50] = 1
    before = peak()
    write_nifti(out / "map.nii.gz", volume, series.grid, how)
    for deflated in (True, False):
        write_parametric_map(out / "map.dcm", volume, source, how, deflated=deflated)
    write_fractional_evidence(out / "graded.dcm", volume, source, how)
    write_heat_bands(out / "bands.dcm", volume, source, how)
    write_nodule_segmentation(out / "nodules.dcm", labels, [SegmentedNodule("a")], source, how)
    write_nifti_ct(out / "ct.nii.gz", (series.read(k, k + 1)[0] for k in range(len(volume))), series.grid)
    return (peak() - before) / volume.nbytes

small, large = map(Path, sys.argv[1:])
write(small)  # imports what is needed
print(write(large))
"""


def test_writing_all_formats_takes_less_memory_than_the_map_once(tmp_path):
    for name, shape in (("small", (20, 64, 64)), ("large", (96, 512, 512))):
        grid = ct_grid(shape, (0.7, 0.7, 1.0))
        write_ct(tmp_path / name, np.zeros(shape, np.int16), grid)
    words = [sys.executable, "-c", WRITE, *map(str, (tmp_path / "small", tmp_path / "large"))]
    growth = float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert growth < 0.8  # of it 0.33 the slices of the CT that are kept
    assert (tmp_path / "large" / "out" / "map.dcm").stat().st_size > 4 * 96 * 512**2
