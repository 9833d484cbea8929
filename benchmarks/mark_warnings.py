"""How often a mark is warned of: on nodules, and on what is none.

    python benchmarks/mark_warnings.py CT_DIR CROPS_DIR WORK_DIR [--points 60] [--patients 12]

CT_DIR is the series of LIDC-IDRI-0001: marks are drawn at random in its vessels, aerated lung, mediastinum, chest wall
and bone, by HU, distance from the lungs' surface and position, 35 mm and more from its one nodule; and about that
nodule, up to 5 mm aside. CROPS_DIR holds crops.npz and labels.csv, single slices of real nodules, of which those of
patients that the shipped run has not learnt from are taken; they have no third dimension and so no roundness. Nodules
in three dimensions are the phantom's, drawn into WORK_DIR.

Writes results/mark_warnings.csv: the share of marks with each reason not to use the numbers, and with any.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

import ctxai
from ctxai.commands.phantom import phantom
from ctxai.ct.patch import extract_patch
from ctxai.ct.volume import CT
from ctxai.data.crops import import_crops
from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.files import write_text
from ctxai.inference.mark_check import check_mark, check_outlines
from ctxai.inference.nodules import candidates_of
from ctxai.report.trust import NODULE_AT_MARK_NEEDED, NOVELTY_PERCENTILE_ALLOWED, ROUNDNESS_NEEDED, is_off_centre
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "mark_warnings.csv"
FAR_MM = 35.0


def main() -> None:
    """Look at all marks and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ct", type=Path)
    parser.add_argument("crops", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--patients", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(1)
    run, ct = Run.open(device="cpu"), ctxai.open_series(given.ct)
    rows = [(kind, *look(run, ct, point)) for kind, point in marks(ct, given.points)]
    rows += [(kind, *look(run, series, point)) for kind, series, point in phantom_nodules(given.work, given.patients)]
    rows += real_slices(run, given.crops, given.work)
    table = pd.DataFrame(rows, columns=["marks", "no_nodule", "not_round", "off_centre", "novel"])
    table["any"] = table.drop(columns="marks").any(axis=1)
    shares = table.groupby("marks", sort=False).mean().round(3)
    shares.insert(0, "n", table.groupby("marks", sort=False).size())
    print(shares.to_string())
    write_text(RESULTS, shares.to_csv(lineterminator="\n"))


def look(run: Run, ct: CT, point: np.ndarray) -> tuple[bool, bool, bool, bool]:
    """The reasons not to use the numbers of a mark."""
    marked = extract_patch(ct, point).hu
    moved = run.recentre(marked[None])[0].double().numpy()
    patch = extract_patch(ct, point + moved[::-1]).hu
    row = run.predict(patch).iloc[0]
    return _reasons(row.to_dict() | check_mark(run, marked, patch, row.diameter))


def _reasons(row: Mapping[str, float]) -> tuple[bool, bool, bool, bool]:
    return (
        row["nodule_at_mark"] < NODULE_AT_MARK_NEEDED,
        row["roundness"] < ROUNDNESS_NEEDED,
        is_off_centre(row),
        row["novelty_percentile"] > NOVELTY_PERCENTILE_ALLOWED,
    )


def marks(ct: CT, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and place (LPS mm) of marks in a CT with one nodule."""
    (nodule,) = candidates_of(ct, None)
    for shift in np.array([[0, 0, 0], [3, 0, 0], [-3, 0, 0], [0, 3, 0], [0, -3, 0], [0, 0, 5], [0, 0, -5]], float):
        yield "LIDC-IDRI-0001's nodule, to 5 mm aside", nodule.centre_lps + shift
    hu, generator = ct.read(), np.random.default_rng(0)
    for kind, mask in tissues(hu, (ct.grid.slice_distance_mm, *ct.grid.spacing_mm[:2])).items():
        places = generator.permutation(np.argwhere(mask))[:20_000]
        points = ct.grid.to_lps(places[:, ::-1].astype(float))
        far = points[np.linalg.norm(points - nodule.centre_lps, axis=1) > FAR_MM]
        yield from ((kind, point) for point in far[:count])


def tissues(hu: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, np.ndarray]:
    """Masks [slice, row, column] of places that are no nodule."""
    parts, count = ndimage.label(hu < -400)
    sides = [parts[:, 0], parts[:, -1], parts[:, :, 0], parts[:, :, -1]]
    outer = np.unique(np.concatenate([side.ravel() for side in sides]))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[outer] = sizes[0] = 0
    lungs = parts == sizes.argmax()
    filled = np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(one, iterations=6)) for one in lungs])
    depth, outside = (ndimage.distance_transform_edt(mask, sampling=spacing) for mask in (filled, ~filled))
    middle = np.zeros_like(filled)
    for k, one in enumerate(filled):
        rows, columns = (np.flatnonzero(one.any(axis)) for axis in (1, 0))
        if len(rows):
            third = (columns[-1] - columns[0]) // 3
            middle[k, rows[0] : rows[-1], columns[0] + third : columns[-1] - third] = True
    middle[:10] = middle[-10:] = False
    inner = np.zeros_like(filled)
    inner[10:-10] = True
    return {
        "vessels": filled & (hu > -200) & (depth > 4) & inner,
        "aerated lung": filled & (hu < -700) & (depth > 10) & inner,
        "heart and mediastinum": (hu > 0) & (hu < 80) & (outside > 12) & middle,
        "chest wall": (hu > -150) & (hu < 150) & (outside > 1) & (outside < 10) & ~middle & inner,
        "bone": (hu > 250) & (outside > 2) & inner,
    }


def phantom_nodules(work: Path, patients: int) -> Iterator[tuple[str, CT, np.ndarray]]:
    """Nodules of synthetic CTs."""
    folder = work / "phantom"
    phantom(folder, patients=patients)
    for patient in sorted(folder.glob("LIDC*")):
        series = ctxai.open_series(patient)
        for one in candidates_of(series, None):
            yield f"phantom nodules, {'3 or 4' if one.n_readers > 2 else '1 or 2'} readers", series, one.centre_lps


def real_slices(run: Run, crops: Path, work: Path) -> list[tuple[str, bool, bool, bool, bool]]:
    """Reasons at the unseen real nodules, in their own slice."""
    folder = work / "store"
    if not folder.is_dir():
        import_crops(crops, folder)
    store = NoduleStore(folder)
    unseen = np.flatnonzero([not run.in_sample(str(one)) for one in store.table["patient_id"]])
    patches = Patches(store, unseen, beyond=run.views.beyond)
    rows = []
    for row in unseen:
        hu = patches[np.array([row])]
        moved = run.recentre(hu)
        at_mark, about = (run.outlines(hu, where)[0].numpy() for where in (None, moved))
        found = run.predict(hu, moved).iloc[0].to_dict() | check_outlines(run.views, at_mark, about)
        readers = "3 or 4" if store.table["n_readers"][row] > 2 else "1 or 2"
        rows.append((f"real nodules, one slice, {readers} readers", *_reasons(found | {"roundness": 1.0})))
    return rows


if __name__ == "__main__":
    main()
