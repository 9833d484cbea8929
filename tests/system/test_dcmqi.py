"""dcmqi, which 3D Slicer reads DICOM maps and masks with, finds every voxel where the CT has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ctxai.ct.series import read_series
from ctxai.export import (
    Provenance,
    SegmentedNodule,
    SourceSeries,
    write_fractional_evidence,
    write_nodule_segmentation,
    write_parametric_map,
)

from synthetic_ct import SCANS, ct_grid, write_ct

pytestmark = pytest.mark.system

VOXELS = [(1, 2, 3), (9, 3, 5), (2, 20, 6), (3, 4, 27), (6, 8, 9)]
SHAPE = (12, 24, 32)


def read(tool: str, file: Path, *options: str) -> sitk.Image:
    """The image that one of dcmqi's converters makes of a DICOM object."""
    program = Path(sys.executable).with_name(tool)
    if not program.is_file():
        message = f"{program} is absent: install dcmqi (it is part of the dev extra)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    folder = file.parent / f"{tool} {file.stem}"
    folder.mkdir()
    command = [program, "--inputDICOM", file, "--outputDirectory", folder, "-t", "nrrd", *options]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (image,) = folder.glob("*.nrrd")
    return sitk.ReadImage(image)


@pytest.mark.parametrize("name", SCANS)
def test_dcmqi_reads_maps_and_masks_at_their_place_in_the_patient(name, tmp_path):
    options = dict(SCANS[name])
    file_order = options.pop("file_order", None)
    write_ct(tmp_path / "ct", np.zeros(SHAPE, dtype=np.int16), ct_grid(SHAPE, **options), file_order=file_order)
    series = read_series(tmp_path / "ct")
    source, provenance = SourceSeries.from_series(series), Provenance("markers", "test")
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for label, voxel in enumerate(VOXELS, start=1):
        labels[voxel] = label
    nodules = [SegmentedNodule(f"marker {label}") for label in range(1, 6)]
    write_parametric_map(tmp_path / "map.dcm", labels.astype(np.float32), source, provenance, scale=8.0)
    write_nodule_segmentation(tmp_path / "seg.dcm", labels, nodules, source, provenance)
    unsigned = Provenance("markers", "graded", signed=False)
    write_fractional_evidence(tmp_path / "graded.dcm", labels / np.float32(255), source, unsigned, scale=1.0)
    truth = series.grid.to_lps(np.array(VOXELS)[:, ::-1])
    for unit, image in (
        (1 / 8, read("paramap2itkimage", tmp_path / "map.dcm", "-n", "map")),
        (1, read("segimage2itkimage", tmp_path / "seg.dcm", "-p", "seg", "--mergeSegments")),
        (1, read("segimage2itkimage", tmp_path / "graded.dcm", "-p", "graded")),
    ):
        array = sitk.GetArrayFromImage(image)
        places = np.argwhere(array)
        places = places[np.argsort(array[tuple(places.T)])]
        np.testing.assert_allclose(np.sort(array[array > 0]), unit * np.arange(1, 6))
        found = [image.TransformIndexToPhysicalPoint(place[::-1].tolist()) for place in places]
        np.testing.assert_allclose(found, truth, atol=0.01)
