"""Time and size of written objects for a 300-slice CT, as ratios to highdicom's own constructors on the same arrays.

    python benchmarks/export.py [--slices N] [--repeats N] [--only WORDS] [--out FILE]

Prints a table and writes it. Ours and the peer's take turns, so that a busy machine slows both. The last lines are the
whole default set of ``ctxai explain`` with five nodules, and all formats of three methods by three targets, maps given,
beside the time that pydicom takes to decode the CT and the bytes of the CT: first with maps of noise that fill patches
of 64 mm, the worst case of one method; then, where CTXAI_DATA has LIDC-IDRI-0001, with maps of the package's run, whose
default are two methods, of that nodule in all five places.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias

import highdicom as hd
import numpy as np
import pydicom
from pydicom.uid import generate_uid

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import ctxai
from ctxai.ct.grid import Grid
from ctxai.ct.patch import resample
from ctxai.ct.series import CTSeries, read_series
from ctxai.explain.fuse import FusedMap
from ctxai.export import (
    Estimate,
    NoduleSummary,
    Provenance,
    SegmentedNodule,
    SourceSeries,
    merge_maps,
    outline_of_mask,
    write_fractional_evidence,
    write_heat_bands,
    write_nodule_segmentation,
    write_parametric_map,
    write_secondary_capture,
    write_structured_report,
)
from ctxai.export.dicom import codes
from ctxai.export.dicom.segmentation import heat_band_labels
from ctxai.export.dicom.structured_report import report_content
from ctxai.inference.formats.base import format_names
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.options import ExplainOptions, checked_views
from ctxai.inference.overlays import write_overlays
from ctxai.lidc.consensus import ReaderMasks
from ctxai.run.explanation import explain_patch
from ctxai.run.methods import make_method
from ctxai.run.run import Run

from synthetic_ct import ct_grid, write_ct

DEFAULT_SET = ("nifti", "pmap", "seg", "sr")
ALL = tuple(name for name in format_names() if name != "ct" and not name.endswith("-plain"))
METHODS = ("path_gradients", "cdam", "agcam")
TARGETS = ("malignancy", "texture", "spiculation")

#: For each method and target, the map of each nodule.
Maps: TypeAlias = Mapping[tuple[str, str], Sequence[FusedMap]]


@dataclass(frozen=True)
class Row:
    """Something to measure beside a peer; ``files`` are what both write, where they write one."""

    title: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    files: tuple[Path, Path] | None = None


@dataclass(frozen=True)
class ExplanationBatch:
    """A CT with five nodules' maps and masks."""

    series: CTSeries
    source: SourceSeries
    patches: Sequence[tuple[np.ndarray, Grid]]
    candidates: Sequence[NoduleCandidate]
    volume: np.ndarray
    labels: np.ndarray


def seconds(row: Row, repeats: int) -> tuple[list[float], list[float]]:
    """Wall times of ours and of the peer's, taking turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for taken, work in zip(times, (row.ours, row.peer), strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return times


def identity() -> list[object]:
    """Random UIDs and names: what highdicom's constructors take by place."""
    return [generate_uid(), 1, generate_uid(), 1, "maker", "model", "1", "1"]


def plain_parametric_map(path: Path, stored: np.ndarray, source: SourceSeries) -> None:
    """What highdicom writes by itself: frames descending, random UIDs, the present as date."""
    mapping = hd.pm.RealWorldValueMapping("map", "map", codes.NO_UNITS, (0.0, 1.0), 1.0, 0.0)
    window = [hd.VOILUTTransformation(0.5, 1.0)]
    hd.pm.ParametricMap(source.images, stored, *identity(), False, [mapping], voi_lut_transformations=window).save_as(
        path
    )


def plain_segmentation(path: Path, array: np.ndarray, source: SourceSeries, kind: str, segments: int) -> None:
    """What highdicom writes by itself, given the whole volume."""
    described = [
        hd.seg.SegmentDescription(n, f"{n}", codes.ABNORMAL_STRUCTURE, codes.NODULE, "MANUAL")
        for n in range(1, segments + 1)
    ]
    hd.seg.Segmentation(source.images, array, kind, described, *identity()).save_as(path)


def plain_report(path: Path, nodules: Sequence[NoduleSummary], source: SourceSeries, provenance: Provenance) -> None:
    """The same content as highdicom writes it by itself."""
    content = report_content(nodules, source, provenance)
    hd.sr.ComprehensiveSR(
        list(source.images), content, generate_uid(), 1, generate_uid(), 1, "maker", manufacturer_model_name="m"
    ).save_as(path)


def plain_captures(folder: Path, pictures: dict[int, np.ndarray], source: SourceSeries) -> None:
    """highdicom's Secondary Captures of the same pictures."""
    for number, picture in pictures.items():
        hd.sc.SCImage(
            picture,
            "RGB",
            8,
            "PATIENT",
            source.first.StudyInstanceUID,
            generate_uid(),
            1,
            generate_uid(),
            1,
            "maker",
            patient_orientation=("L", "P"),
        ).save_as(folder / f"{number}.dcm")


def make_case(folder: Path, slices: int) -> ExplanationBatch:
    """A noisy CT, five random maps of 64 mm, five ball-shaped nodules of 12 mm."""
    grid = ct_grid((slices, 512, 512), (0.7, 0.7, 1.0), (-180.0, -180.0, -300.0))
    rng = np.random.default_rng(0)
    write_ct(folder / "ct", rng.integers(-1000, 200, grid.shape, dtype=np.int16), grid)
    series = read_series(folder / "ct")
    places = [grid.to_lps(np.array([100.0 + 60 * i, 256, slices * (i + 1) // 6])) for i in range(5)]
    patches = [(rng.normal(size=(64, 64, 64)).astype(np.float32), Grid.cube(p, (64, 64, 64), 1.0)) for p in places]
    labels, candidates = np.zeros(grid.shape, dtype=np.uint8), []
    for number, place in enumerate(places, start=1):
        column, row, middle = np.rint(grid.to_index(place)).astype(int).tolist()
        z, y, x = np.ogrid[-6:7, -9:10, -9:10]
        ball = z**2 + 0.49 * (y**2 + x**2) <= 36
        start = middle - 6, row - 9, column - 9
        labels[middle - 6 : middle + 7, row - 9 : row + 10, column - 9 : column + 10][ball] = number
        candidates.append(NoduleCandidate(f"nodule {number}", place, 12.0, ReaderMasks(ball[None], start)))
    source = SourceSeries.from_series(series)
    return ExplanationBatch(series, source, patches, candidates, merge_maps(patches, grid), labels)


def noise_maps(case: ExplanationBatch, methods: Sequence[str], targets: Sequence[str]) -> Maps:
    """The patches' noise as every map."""
    fused = [FusedMap(values, values * 0, np.ones(values.shape, bool)) for values, _ in case.patches]
    return {(method, target): fused for method in methods for target in targets}


def run_maps(case: ExplanationBatch) -> Maps:
    """Maps of the package's run of the nodule of LIDC-IDRI-0001, as on the case's CT; none without that CT."""
    archive = Path(os.environ.get("CTXAI_DATA", "")) / "lidc-idri" / "LIDC-IDRI-0001.tar.xz"
    if not archive.is_file():
        print(f"no maps of a run: {archive} is not there; set CTXAI_DATA")
        return {}
    run = Run.open(device="cpu")
    with tempfile.TemporaryDirectory() as name, tarfile.open(archive) as files:
        files.extractall(name, filter="data")
        (nodule,) = ctxai.explain(read_series(name), run=run, methods=(), trust=False).nodules
    methods = [make_method(run, method, {}) for method in METHODS]
    spacing = case.series.grid.spacing_mm[::-1].tolist()
    maps = explain_patch(run, nodule.patch.hu, methods, TARGETS, checked_views(run, None), spacing_mm=spacing).fused
    return {key: [fused] * len(case.patches) for key, fused in maps.items()}


def write_set(folder: Path, case: ExplanationBatch, formats: Sequence[str], maps: Maps) -> None:
    """What ``ctxai explain`` writes once the maps are there.

    Args:
        folder: written anew.
        case: the CT and its nodules.
        formats: names of formats.
        maps: for each method and target, the map of each nodule.
    """
    shutil.rmtree(folder, ignore_errors=True)
    nodules = []
    for number, candidate in enumerate(case.candidates):
        grid = case.patches[number][1]
        patch = SimpleNamespace(grid=grid, hu=np.zeros(grid.shape, np.int16))
        own = {key: each[number] for key, each in maps.items()}
        nodules.append(SimpleNamespace(candidate=candidate, patch=patch, maps=own, inside=None))
    lines = [{"malignancy": 3.0, "malignancy_low": 2.0, "malignancy_high": 4.0} for _ in nodules]
    run = SimpleNamespace(name="run", weights_sha256="0" * 64, own=None)
    methods, targets = (list(dict.fromkeys(names)) for names in zip(*maps, strict=True))
    signs = {key[0]: any((fused.values < 0).any() for fused in each) for key, each in maps.items()}
    made = [SimpleNamespace(name=name, options={}, reference="a paper", signed=signs[name]) for name in methods]
    write_overlays(folder, case.series, nodules, lines, ExplainOptions(None, run, made, targets, (), formats))


def decode(series: CTSeries) -> None:
    """Every pixel of the CT by pydicom."""
    for header in series.headers:
        pydicom.dcmread(header.path).pixel_array.sum()


def rows(case: ExplanationBatch, folder: Path) -> list[Row]:
    """What is measured."""
    provenance, source, volume, labels = Provenance("CDAM", "malignancy"), case.source, case.volume, case.labels
    scale = float(np.abs(volume).max())
    stored = np.maximum(volume, 0) / scale
    graded = np.stack([stored, np.maximum(-volume, 0) / scale], axis=-1)
    segments = [SegmentedNodule(f"nodule {n}") for n in range(1, 6)]
    said = [
        NoduleSummary(f"nodule {n}", outline_of_mask(labels == n), (Estimate("malignancy", 3.0, 2.0, 4.0),))
        for n in range(1, 6)
    ]
    pictures = {number: np.full((512, 512, 3), number, dtype=np.uint8) for number in range(20)}
    kinds = ("map", "seg", "bands", "graded", "sr")
    files = {name: (folder / f"{name}-ours.dcm", folder / f"{name}-peer.dcm") for name in kinds}
    (folder / "sc-peer").mkdir()
    return [
        Row(
            "five patches on the CT grid / each resampled on the whole CT",
            lambda: merge_maps(case.patches, source.grid),
            lambda: [resample(values, patch, source.grid) for values, patch in case.patches],
        ),
        Row(
            "Parametric Map, one half",
            lambda: write_parametric_map(files["map"][0], volume, source, provenance),
            lambda: plain_parametric_map(files["map"][1], stored, source),
            files["map"],
        ),
        Row(
            "Segmentation, five nodules",
            lambda: write_nodule_segmentation(files["seg"][0], labels, segments, source, provenance),
            lambda: plain_segmentation(files["seg"][1], labels, source, "BINARY", 5),
            files["seg"],
        ),
        Row(
            "Segmentation, four bands",
            lambda: write_heat_bands(files["bands"][0], volume, source, provenance, scale),
            lambda: plain_segmentation(files["bands"][1], heat_band_labels(volume, scale), source, "BINARY", 4),
            files["bands"],
        ),
        Row(
            "Segmentation, graded",
            lambda: write_fractional_evidence(files["graded"][0], volume, source, provenance, scale),
            lambda: plain_segmentation(files["graded"][1], graded, source, "FRACTIONAL", 2),
            files["graded"],
        ),
        Row(
            "Structured Report of the same content",
            lambda: write_structured_report(files["sr"][0], said, source, provenance),
            lambda: plain_report(files["sr"][1], said, source, provenance),
            files["sr"],
        ),
        Row(
            "Secondary Capture, 20 slices",
            lambda: write_secondary_capture(folder / "sc-ours", pictures, source, provenance),
            lambda: plain_captures(folder / "sc-peer", pictures, source),
            (folder / "sc-ours", folder / "sc-peer"),
        ),
        *whole_sets(case, folder),
    ]


def whole_sets(case: ExplanationBatch, folder: Path) -> list[Row]:
    """The default set, and all formats, of maps of noise and of maps of a run."""
    ct = Path(case.series.headers[0].path).parent
    sets = [
        ("default set, noise", DEFAULT_SET, noise_maps(case, METHODS[:1], TARGETS[:1])),
        ("all formats, three methods by three targets, noise", ALL, noise_maps(case, METHODS, TARGETS)),
    ]
    if of_run := run_maps(case):
        default = {key: of_run[key] for key in [(method, TARGETS[0]) for method in METHODS[:2]]}
        sets.append(("default set of the package's run, two methods", DEFAULT_SET, default))
        sets.append(("all formats, three methods by three targets, package's run", ALL, of_run))
    return [
        Row(
            f"{title} / pydicom decodes the CT",
            lambda place=folder / f"set-{number}", formats=formats, maps=maps: write_set(place, case, formats, maps),
            lambda: decode(case.series),
            (folder / f"set-{number}", ct),
        )
        for number, (title, formats, maps) in enumerate(sets)
    ]


def size(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="measure what has these words in its title")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "export.csv")
    asked = parser.parse_args()
    table = [["what", "ours_s", "peer_s", "ratio", "lowest", "highest", "size_ratio", "slices", "machine"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for row in rows(make_case(folder, asked.slices), folder):
            if asked.only not in row.title:
                continue
            ours, peer = seconds(row, asked.repeats)
            ratios = [a / b for a, b in zip(ours, peer, strict=True)]
            numbers = [*map(statistics.median, (ours, peer, ratios)), min(ratios), max(ratios)]
            sizes = "" if row.files is None else f"{size(row.files[0]) / size(row.files[1]):.3f}"
            machine = f"{platform.machine()} {os.cpu_count()} cores"
            table.append([row.title, *(f"{number:.2f}" for number in numbers), sizes, str(asked.slices), machine])
            print(*table[-1], sep="  ", flush=True)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with asked.out.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(table)


if __name__ == "__main__":
    main()
